"""The optimised code generator renders the same as the library's."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from notifier.template_language.code_generator import MailCodeGenerator
from notifier.template_language.sandbox import MailEnvironment, create_environment, render_limited
from notifier.template_language.template_source import PARTS
from notifier.templating.sync import template_files

TEMPLATES = Path("templates")
SEARCH = settings(max_examples=100, deadline=None, derandomize=True, database=None)


class PlainCodeGenerator(MailCodeGenerator):
    """The code generator without our optimisations, with the same meaning."""

    def read_attribute(self, node: nodes.Getattr, frame: Frame) -> None:
        """Always ask the environment."""
        self.write("environment.getattr(")
        self.visit(node.node, frame)
        self.write(f", {node.attr!r})")

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo) -> None:
        self.write(f"{'escape' if frame.eval_ctx.autoescape else 'str'}(environment.format_shown(")

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo) -> None:
        self.write(", '', 1, ''))")


class Slow(MailEnvironment):
    """The environment without its optimisations."""

    code_generator_class = PlainCodeGenerator
    make_globals = ImmutableSandboxedEnvironment.make_globals
    call = ImmutableSandboxedEnvironment.call


def environment_of(kind: type[MailEnvironment], parts: dict[str, str]) -> MailEnvironment:
    """The environment of HTML parts, optimised or not."""
    env = create_environment(parts, autoescape=True, strict=False)
    env.__class__ = kind
    return env


def render_or_get_error(kind: type[MailEnvironment], text: str, **values: Any) -> str:
    """The rendered text or the error, with a macro `ui.m` to import."""
    macro = "{% macro m(a, b=1) %}{{ a }}-{{ b }}{{ caller is defined }}{% endmacro %}{% set v = 5 %}"
    base = "<base>{% block b %}{{ x is defined }}{{ '<' }}{% endblock %}"
    try:
        template = environment_of(kind, {"part": text, "ui": macro, "base": base}).get_template("part")
        return render_limited(template, values)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize(
    "text",
    [
        "{{ x.a }} {{ x['a'] }} {{ x.b.c }}",
        "{{ x.items }}",
        "{% for key, value in x.items() %}{{ key }}{{ value }}{% endfor %}",
        "{{ x.keys()|list }}",
        "{{ x.update }}",
        "{{ x.update({'a': 1}) }}",
        "{{ x.__class__ }}",
        "{{ x._y }}",
        "{{ x.nothing }}",
        "{{ x.nothing|default('d') }}",
        "{% set d = {'f': '{0.__class__}'.format} %}{{ d.f(x) }}",
        "{% import 'ui' as ui %}{{ ui.m('<') }}{{ ui.m(1, b=2) }}{{ ui.v }}{% for i in [1] %}{{ ui.m(i) }}{% endfor %}",
        "{% import 'ui' as ui %}{% call ui.m(1) %}x{% endcall %}",
        "{% import 'ui' as ui %}{{ ui.m(1, 2, 3) }}",
        "{% import 'ui' as ui %}{{ ui.m(1, c=3) }}",
        "{% import 'ui' as ui %}{{ ui.gone(1) }}",
        "{% import 'ui' as ui %}{{ ui._body_stream }}",
        "{% import 'ui' as ui %}{{ ui.__class__ }}",
        "{% import 'ui' as ui %}{{ ui.m._func }}",
        "{% macro n(a) %}{{ a }}{% endmacro %}{{ n('<') }}<a href='{{ x.a }}' style='{{ x.a }}' title={{ x.a }}>",
        "{{ range(3)|list }}{{ range(1, 7, 2)|list }}{% for i in [1] %}{{ range(i)|list }}{% endfor %}",
        "{{ range() }}",
        "{{ range(stop=3) }}",
        "{{ range('a') }}",
        "{{ x('a') }}",
        "{{ x.b.c }}{{ x.b.c.d }}",
        "{{ x.b.gone }}",
        "{{ x.l[0].c }}{{ x.l[1].c|default('d') }}",
        "{{ x.a.upper() }}{{ x.a.__class__ }}",
        "{{ {'k': x.a}.k }}{{ {'k': '<'}.k }}{{ '<' }}{{ 1 }}{{ none }}",
        "{{ gone }}",
        "{{ x.a if x.b else x.gone }}{{ x.a ~ x.n ~ '<' }}{{ x.n }}{{ x.t }}{{ x.f }}{{ x.z }}{{ x.l }}{{ x.b }}",
        "{% set v %}<{{ x.a }}>{% endset %}{{ v }}{{ v|e }}{{ v|upper }}{{ v|length }}",
        "{% filter upper %}{{ x.a }}{% endfilter %}",
        "{% macro n(a, b=x.a) %}{{ a }}{{ b }}{{ caller() }}{% endmacro %}{% call n(x.b.c) %}{{ x.a }}{% endcall %}",
        "{% for y in x.l if y.c %}{{ loop.index }}{{ y.c }}{% else %}none{% endfor %}",
        "{% for y in [x.b] recursive %}{{ y.c }}{% if y.b %}{{ loop(y.b) }}{% endif %}{% endfor %}",
        "{% for y in [[x.b], []] recursive %}<{{ loop(y) if y is iterable and y is not mapping else y }}{% endfor %}",
        "{% extends 'base' %}{% block b %}{{ super() }}{{ x.a }}{{ self.b is defined }}{% endblock %}",
        "{% include 'base' %}{% include 'base' without context %}",
        "{% from 'ui' import m, v with context %}{{ m(x.a) }}{{ v }}",
        "{% import 'ui' as ui %}{{ ui }}{{ ui.v }}",
    ],
)
def test_the_short_cuts_change_nothing(text: str) -> None:
    """Reading keys and calling macros gives the library's results and error messages."""
    values = {"a": "<1>", "b": {"c": 2}, "_y": 3, "items": "i", "update": "u", "__class__": "c"}
    values |= {"n": -7, "t": True, "f": False, "z": None, "l": [{"c": "&"}, {}]}
    assert render_or_get_error(MailEnvironment, text, x=values) == render_or_get_error(Slow, text, x=values)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.text("<>&'\" a", max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd") | st.text(), inner, max_size=4),
    max_leaves=9,
)


@SEARCH
@given(VALUES)
def test_whatever_a_variable_is_the_short_cuts_change_nothing(value: Any) -> None:
    """JSON values of every type, markup and missing keys are rendered as by the library."""
    text = (
        "{{ x }} {{ x.a|default('<') }} {{ (x.b|default({})).c|default(x) }} {{ x|e }} {{ (x ~ '')|upper }} {{ [x] }} "
        "{{ x ~ '<' }}{% import 'ui' as ui %}{{ ui.m(x) }}{{ ui.m(ui.m(x)) }}<a href='{{ x }}'>"
    )
    made = render_or_get_error(MailEnvironment, text, x=value)
    assert made == render_or_get_error(Slow, text, x=value)
    assert "Error" not in made or "Error" in repr(value)


@pytest.mark.parametrize("text", ["{{ x }}", "{{ x.a }}", "{{ x|upper }}"])
@pytest.mark.parametrize(
    "value", [Markup("<b>"), type("Text", (str,), {"__html__": lambda _: "<i>"})("<u>"), type("Whole", (int,), {})(7)]
)
def test_a_type_of_its_own_is_shown_as_the_library_shows_it(text: str, value: object) -> None:
    """Only exact `str` and `int` are optimised, subclasses are not."""
    assert render_or_get_error(MailEnvironment, text, x=value) == render_or_get_error(Slow, text, x=value)


@pytest.mark.parametrize("slug", template_files.list_slugs(TEMPLATES))
def test_the_shipped_templates_render_the_same_without_short_cuts(slug: str) -> None:
    """Every shipped part renders byte for byte as with the library alone."""
    source = template_files.read_template(TEMPLATES, slug)
    values = {**source.sample, "locale": "en", "subject": "Hi"}
    quick, slow = (environment_of(kind, source.files) for kind in (MailEnvironment, Slow))
    for name in source.files:
        if name.rpartition("/")[2] in PARTS:
            made = [render_limited(env.get_template(name), values) for env in (quick, slow)]
            assert made[0] == made[1]
