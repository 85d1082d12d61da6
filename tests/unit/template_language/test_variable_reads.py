"""The variables that a version reads, and which of them are optional."""

import pytest
from support.text_part_source import build_text_source

from notifier.template_language.variable_usage import walk_source


def reads(text: str) -> set[str]:
    """The dotted paths that the text reads; optional ones end in a question mark."""
    guarded_by_path: dict[str, bool] = {}
    for read in walk_source(build_text_source(text))[0]:
        path = ".".join(read.path).replace(".[]", "[]")
        guarded_by_path[path] = guarded_by_path.get(path, True) and read.guarded
    return {f"{path}?" if guarded else path for path, guarded in guarded_by_path.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing", ""),
        ("{{ name }}{{ locale }}{{ subject }}{{ range(3) | join }}", "name"),
        ("{{ order.id }}", "order.id"),
        ("{{ order['id'] }}", "order.id"),
        ("{{ order.address.city | upper ~ name }}", "order.address.city name"),
        ("{{ order.items() }}", "order"),
        ("{{ name.upper() }}{{ name[:1] }}", "name"),
        ("{{ items[0].price }}", "items[].price"),
        ("{{ items[count] }}", "items count"),
        ("{{ (items | first).price }}", "items[].price"),
        ("{{ items | sum(attribute='price') }}", "items items[].price"),
        ("{% for item in items %}{{ item.price }}{{ loop.index }}{% endfor %}", "items items[].price"),
        ("{% for i in items %}{% for t in i.tags %}{{ t }}{% endfor %}{% endfor %}",
         "items items[].tags items[].tags[]?"),
        ("{% for i in items if i.price > count %}{{ i.name }}{% else %}{{ name }}{% endfor %}",
         "items items[].price count items[].name name"),
        ("{% for item in items | sort(attribute='name') | reverse %}{{ item.price }}{% endfor %}",
         "items items[].name items[].price"),
        ("{% for key, value in order.items() %}{{ key }}{{ value.x }}{% endfor %}", "order"),
        ("{% for letter in name %}{{ letter }}{% endfor %}", "name"),
        ("{% set x = order.note %}{{ x }}", "order.note"),
        ("{% set o = order %}{{ o.note }}", "order? order.note"),
        ("{% set x, y = name, count %}{{ x }}{{ y }}", "name count"),
        ("{% set x %}{{ name }}{% endset %}{{ x }}", "name"),
        ("{% with a = order.address %}{{ a.city }}{% endwith %}", "order.address? order.address.city"),
        ("{% macro m(a, b=name) %}{{ a.id }}{{ b }}{% endmacro %}{{ m(order) }}", "order? order.id name"),
        ("{% macro m(a) %}{{ a }}{% endmacro %}", ""),
        ("{% import '_layouts/ui.txt' as ui %}{{ ui.line(items[0], note=order.note) }}",
         "items[]? items[].name order.note"),
        ("{% from '_layouts/ui.txt' import line as l %}{{ l(order) }}", "order? order.name"),
        ("{% from '_layouts/ui.txt' import each %}{% call(i) each(items) %}{{ i.price }}{% endcall %}",
         "items items[]? items[].price"),
        ("{% include '_layouts/foot.txt' %}", "name"),
        ("{% include '_layouts/foot.txt' without context %}", ""),
        ("{% for name in days %}{% include '_layouts/foot.txt' %}{% endfor %}", "days days[]?"),
        ("{% extends '_layouts/base.txt' %}{% block main %}{{ name }}{% endblock %}", "count name"),
        ("{% extends '_layouts/base.txt' %}{% set n = name %}{% block main %}{{ n }}{{ super() }}{% endblock %}",
         "count name order.id"),
        ("{% block a %}{{ name }}{% endblock %}{{ self.a() }}", "name"),
        ("{% filter upper %}{{ name }}{% endfilter %}", "name"),
        ("{% set x | upper %}{{ name }}{% endset %}", "name"),
        ("{% autoescape false %}{{ name }}{% endautoescape %}", "name"),
        ("{% import '_layouts/open.txt' as o %}{{ o.hi() }}", ""),
        ("{% import '_layouts/open.txt' as o with context %}{{ o.hi() }}", "name"),
        ("{% macro m(a) %}{{ a.id }}{{ m(a) }}{% endmacro %}{{ m(order) }}", "order order.id"),
        ("{% macro m() %}{{ varargs }}{% endmacro %}{{ m(name) }}", "name"),
        ("{{ name }}{% include 'body.txt' %}", "name"),
        ("{% for day in days %}{% block a scoped %}{{ day }}{% endblock %}{% endfor %}", "days days[]?"),
        ("{% for item in items recursive %}{{ loop(item.tags) }}{% endfor %}", "items items[].tags"),
    ],
)  # fmt: skip
def test_the_paths_that_a_part_reads(text: str, expected: str) -> None:
    """Each variable is listed with its whole path, also through aliases."""
    assert reads(text) == set(expected.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{% if name is defined %}{{ name }}{% endif %}{{ name }}", "name"),
        ("{% if name is defined %}{{ name }}{% endif %}", "name?"),
        ("{% if name is not defined %}-{% else %}{{ name }}{% endif %}", "name?"),
        ("{% if not name is defined %}-{% elif count %}{{ name }}{% endif %}", "name? count"),
        ("{% if name is undefined %}{{ name }}{% endif %}", "name"),
        ("{% if name %}{{ name }}{% endif %}", "name"),
        ("{% if name is not none %}{{ name }}{% endif %}", "name"),
        ("{% if name is defined and name %}{{ name }}{% endif %}", "name?"),
        ("{% if name is defined or count %}{{ name }}{% endif %}", "name count"),
        ("{% if name is not defined or name == 'x' %}-{% else %}{{ name }}{% endif %}", "name?"),
        ("{{ name if name is defined else '-' }}", "name?"),
        ("{{ name if name is defined }}", "name"),
        ("{{ name is defined and name or '-' }}", "name?"),
        ("{{ name | default('-') }}{{ count | d }}", "name? count?"),
        ("{{ name | default(count) }}", "name? count"),
        ("{% if name | default('') %}{{ name }}{% endif %}", "name?"),
        ("{% if name | default('x') %}{{ name }}{% endif %}", "name"),
        ("{% if (name if count is defined else 'x') %}{{ name }}{% endif %}", "name count?"),
        ("{{ order.note | default('-') }}", "order.note?"),
        ("{% if order.note is defined %}{{ order.note }}{% endif %}", "order.note?"),
        ("{% if 'note' in order %}{{ order.note }}{% endif %}", "order order.note"),
        ("{{ order.get('note', '') | upper }}", "order"),
        ("{% if order is defined %}{{ order.note }}{% endif %}", "order? order.note"),
        ("{% set o = order | default({}) %}{{ o.note }}", "order? order.note"),
        ("{% for i in items | default([]) %}{{ i.price }}{% endfor %}", "items? items[].price"),
        ("{% for i in items | default(days) %}{{ i }}{% endfor %}", "items? items[] days"),
        ("{{ (items | default([]) | first).price }}", "items[].price"),
        ("{% if items | default([]) | length %}{{ items | length }}{% endif %}", "items?"),
        ("{% for i in items %}{% if i.price is defined %}{{ i.price }}{% endif %}{% endfor %}", "items items[].price?"),
        ("{% for i in items if i.price is defined %}{{ i.price }}{% endfor %}", "items items[].price?"),
        ("{% if items[0].name is defined %}{{ items[1].name }}{% endif %}", "items[].name"),
        ("{% if name is not defined %}{% set name = '-' %}{% endif %}{{ name }}", "name?"),
        ("{% if count is defined %}{% set name = '-' %}{% endif %}{{ name }}", "name count?"),
        ("{% set n = name %}{% if n is defined %}{{ n }}{% endif %}", "name?"),
        ("{% macro m(a) %}{% if a is defined %}{{ a }}{% endif %}{% endmacro %}{{ m(name) }}", "name?"),
        ("{% import '_layouts/ui.txt' as ui %}{% if order is defined %}{{ ui.line(order) }}{% endif %}",
         "order? order.name"),
    ],
)  # fmt: skip
def test_a_read_is_guarded_if_nothing_fails_without_the_variable(text: str, expected: str) -> None:
    """A question mark marks each variable without which the text still renders."""
    assert reads(text) == set(expected.split())
