"""Required and optional variables, computed from the sample, the parts and the settings."""

from contextlib import suppress
from typing import Any

import hypothesis
import jsonschema_rs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jinja2 import TemplateSyntaxError, UndefinedError
from support.text_part_source import SAMPLE, build_text_source

from notifier.rendering.source_check import check_source
from notifier.template_language import variable_schema as variable
from notifier.template_language.sandbox import create_environment
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.template_language.variable_usage import analyze_variables, list_subject_paths

NAMES = st.sampled_from(["name", "count", "order", "order.note", "order.address", "order.address.city", "items", "x"])
WORDS = st.sampled_from(["name", "order.note", "order.address.city", "order.id", "one.price", "one.name", "x", "one"])
CONDITIONS = st.recursive(
    NAMES.map("{} is defined".format)
    | WORDS.map("{} is not defined".format)
    | WORDS.map("{} | default('')".format)
    | st.sampled_from(["'note' in order", "order.get('note')", "items | default([]) | length", "count"]),
    lambda inner: (
        inner.map("not ({})".format)
        | st.tuples(inner, inner).map("({0[0]}) and ({0[1]})".format)
        | st.tuples(inner, inner).map("({0[0]}) or ({0[1]})".format)
    ),
    max_leaves=3,
)
EXPRESSIONS = st.one_of(
    WORDS,
    WORDS.map("{} | default('-')".format),
    st.tuples(WORDS, WORDS).map("{0[0]} | default({0[1]})".format),
    st.tuples(WORDS, CONDITIONS, WORDS).map("{0[0]} if {0[1]} else {0[2]}".format),
    st.tuples(CONDITIONS, WORDS).map("({0[0]}) and {0[1]}".format),
    st.sampled_from(
        ["'a' if x is defined", "m(order)", "m(name)", "m(order.note | default('-'))", "order.get('note', name)",
         "(items | default([]) | first).price", "items[0].name", "items | sum(attribute='price')"]
    ),
)  # fmt: skip
TEXTS = st.recursive(
    EXPRESSIONS.map("{{{{ {} }}}}".format),
    lambda inner: st.one_of(
        st.tuples(CONDITIONS, inner, inner).map("{{% if {0[0]} %}}{0[1]}{{% else %}}{0[2]}{{% endif %}}".format),
        st.tuples(CONDITIONS, inner).map("{{% if {0[0]} %}}{0[1]}{{% endif %}}".format),
        st.tuples(st.sampled_from(["items", "items | default([])"]), inner).map(
            "{{% for one in {0[0]} %}}{0[1]}{{% endfor %}}".format
        ),
        st.tuples(CONDITIONS, inner).map("{{% for one in items if {0[0]} %}}{0[1]}{{% endfor %}}".format),
        st.tuples(EXPRESSIONS, inner).map("{{% set x = {0[0]} %}}{0[1]}".format),
        st.tuples(CONDITIONS, EXPRESSIONS, inner).map(
            "{{% if {0[0]} %}}{{% set x = {0[1]} %}}{{% endif %}}{0[2]}".format
        ),
        st.tuples(WORDS, inner).map("{{% with one = {0[0]} %}}{0[1]}{{% endwith %}}".format),
        st.tuples(inner, inner).map("".join),
    ),
    max_leaves=5,
)
MACRO = (
    "{% macro m(one) %}{% if one.note is defined %}{{ one.note }}{% endif %}{{ one.id | default(name) }}{% endmacro %}"
)


def renders(text: str, values: dict[str, Any]) -> bool:
    """True if the text can be rendered with the values."""
    template = create_environment({"body.txt": text}, autoescape=False).get_template("body.txt")
    try:
        with suppress(TypeError):  # such as the sum of words: no matter of what is there
            template.render(values)
    except UndefinedError:
        return False
    return True


@hypothesis.settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(TEXTS.map(MACRO.__add__), st.data())
def test_what_is_found_optional_can_be_left_out(text: str, data: st.DataObject) -> None:
    """A text that renders with the sample renders without any optional variable."""
    usage = analyze_variables(build_text_source(text))
    assume(not usage.undefined and renders(text, SAMPLE))
    some = data.draw(st.sets(st.sampled_from(usage.optional))) if usage.optional else set[str]()
    for left_out in (some, usage.optional):
        values = variable.remove_optional(SAMPLE, left_out)
        assert variable.find_variable_faults(usage.schema, values) == []
        assert renders(text, values)


def test_what_no_part_needs_is_optional() -> None:
    """A variable is required only if some part shows it without a guard."""
    usage = analyze_variables(
        build_text_source("{{ name }}{{ count | d }}{{ order.id }}{% for i in items %}{{ i.name }}{% endfor %}")
    )
    assert usage.schema["required"] == ["items", "name", "order"]
    assert usage.schema["properties"]["order"]["required"] == ["id"]
    assert usage.schema["properties"]["items"]["items"]["required"] == ["name"]
    assert usage.unused == ["vip", "free", "order.note", "order.address", "items.price", "items.tags", "days"]
    assert usage.optional == sorted({*usage.unused, "count", "order.address.city"})
    assert variable.find_variable_faults(usage.schema, SAMPLE) == []


def test_a_value_that_is_handed_on_whole_is_needed_whole() -> None:
    """An object that is shown or passed to a filter is required with all its keys."""
    usage = analyze_variables(build_text_source("{{ order }}{% if order.note is defined %}{{ order.note }}{% endif %}"))
    assert usage.schema["properties"]["order"]["required"] == ["address", "id", "note"]
    assert usage.schema["properties"]["order"]["properties"]["address"]["required"] == ["city"]


def test_what_is_listed_is_optional_whatever_the_parts_say() -> None:
    """The settings override the parts."""
    usage = analyze_variables(build_text_source("{{ name }}{{ order.id }}", optional=("order.id", "name")))
    assert usage.optional[:2] == ["name", "order.id"]
    assert usage.schema["required"] == ["order"]


def test_what_is_read_and_not_in_the_sample_may_be_anything() -> None:
    """A variable missing in the sample has any type if guarded, and is reported if not."""
    text = "{% if note is defined %}{{ note.x }}{% endif %}\n{% if vip %}{{ order.total }}{{ name.first }}{% endif %}"
    usage = analyze_variables(build_text_source(text + "{{ lost.one | d }}{{ free.a.b }}"))
    assert (usage.schema["properties"]["note"], usage.schema["properties"]["order"]["properties"]["total"]) == ({}, {})
    assert variable.find_variable_faults(usage.schema, SAMPLE | {"note": [1]}) == []
    assert [(".".join(read.path), read.file, read.line) for read in usage.undefined] == [
        ("note.x", "body.txt", 1),
        ("lost", "body.txt", 2),
        ("name.first", "body.txt", 2),
        ("order.total", "body.txt", 2),
    ]


def test_settings_that_name_no_variable_are_told() -> None:
    """An unknown path in the settings is reported, unless a part reads it."""
    paths = ("order.note", "items.price", "nmae", "order.nte", "note", "free.any")
    usage = analyze_variables(
        build_text_source("{{ note | d }}", optional=paths[:3], public=paths[3:], secret=("days.x",))
    )
    assert usage.unmatched == [("optional", "nmae"), ("public", "order.nte"), ("secret", "days.x")]


def test_public_and_secret_variables_are_marked() -> None:
    """The schema marks public and secret variables."""
    usage = analyze_variables(
        build_text_source("{{ note | d }}", public=("items.name", "note"), secret=("order", "nothing"))
    )
    properties = usage.schema["properties"]
    assert properties["items"]["items"]["properties"]["name"] == {"type": "string", "x-public": True}
    assert properties["note"] == {"x-public": True}
    assert properties["order"]["writeOnly"] is True
    assert jsonschema_rs.meta.is_valid(usage.schema)


@pytest.mark.parametrize(
    "link",
    [
        "http://shop.example",
        "HTTPS://shop.example",
        "https://",
        "https://a b",
        "https://a\n",
        "https://<a>",
        "https://é",
    ],
)
def test_marketing_asks_for_an_https_link(link: str) -> None:
    """Marketing templates require the unsubscribe link, though no part shows it."""
    version = build_text_source("", category="marketing", priority="bulk", optional=("unsubscribe_url",))
    schema = analyze_variables(version).schema
    assert [fault.code for fault in variable.find_variable_faults(schema, {})] == ["missing_variable"]
    assert variable.find_variable_faults(schema, {"unsubscribe_url": "https://shop.example/u?id=1&x=%20"}) == []
    (fault,) = variable.find_variable_faults(schema, {"unsubscribe_url": link})
    assert (fault.pointer, fault.code) == ("/variables/unsubscribe_url", "wrong_variable_type")
    assert "https://" in fault.detail


@pytest.mark.parametrize(
    "text",
    [
        "{% include name %}",
        "{% if vip %}{% extends '_layouts/base.txt' %}{% endif %}",
        "{% import '_layouts/ui.txt' as ui %}{{ ui['line'](order) | sort(ui) }}",
        "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*days) }}",
        "{% macro m0(a) %}{{ a }}{% endmacro %}"
        + "".join(f"{{% macro m{n}(a) %}}{{{{ m{n - 1}(a) ~ m{n - 1}(a) }}}}{{% endmacro %}}" for n in range(1, 40))
        + "{{ m39(name) }}",
        "{{ name" + " | upper" * 900 + " }}",
    ],
)
def test_nothing_is_spared_where_the_parts_cannot_be_followed(text: str) -> None:
    """If a part cannot be analysed, only sample and settings decide."""
    usage = analyze_variables(build_text_source(text, optional=("vip",)))
    assert (usage.optional, usage.unused) == (["vip"], [])
    assert usage.schema["required"] == ["count", "days", "free", "items", "name", "order"]


def test_a_check_renders_the_shortest_request() -> None:
    """The check renders the shortest request; a part that fails on it is a fault."""
    good = build_text_source("{% if name is defined %}{{ name }}{% endif %}")
    report = check_source(good)
    assert (report.faults, report.variables_schema) == ([], analyze_variables(good).schema)
    (fault,) = check_source(
        build_text_source("{% if name is defined %}{{ name }}{% else %}{{ nothing }}{% endif %}")
    ).faults
    assert (fault.part, fault.line) == ("body.txt", 1)


def test_a_part_that_cannot_be_parsed_is_told() -> None:
    """A syntax error is reported by the parser, with file and line."""
    with pytest.raises(TemplateSyntaxError) as error:
        analyze_variables(build_text_source("\n{% if name %}"))
    assert (error.value.name, error.value.lineno) == ("body.txt", 2)


def test_subjects_of_all_locales_tell_what_they_show() -> None:
    """The variables that subjects show are listed, also items of lists and aliases."""
    english = "{% if vip is defined %}{{ order.id }}{% endif %}"
    french = "{% set n = name %}{{ n }}{% for d in days %}{{ d }}{% endfor %}"
    files = {"subject.txt": english, "locales/fr/subject.txt": french, "body.html": "{{ count }}"}
    version = TemplateSource(files=files, sample=SAMPLE, settings=TemplateSettings(name="A"))
    assert list_subject_paths(version) == [["days", "[]"], ["name"], ["order", "id"]]
