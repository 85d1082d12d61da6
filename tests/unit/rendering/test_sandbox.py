"""The sandbox: what templates may use, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError, TemplateAssertionError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from notifier.rendering.language import sandbox
from notifier.rendering.language.acting import ACTING
from notifier.rendering.language.generator import MailCodeGenerator
from notifier.rendering.language.sandbox import MailEnvironment, environment, render_limited
from notifier.rendering.language.size_limit import OUTPUT_LIMIT, OutputTooLargeError
from notifier.rendering.source import PARTS
from notifier.templating.folder import files

ALLOWED = {
    "abs", "capitalize", "count", "d", "default", "e", "escape", "first", "float", "int", "join", "last", "left",
    "length", "list", "lower", "replace", "reverse", "right", "round", "sort", "sum", "title", "trim", "truncate",
    "unique", "upper", "urlencode", "wordwrap",
    "date", "datetime", "money", "nl2br", "number", "percent", "plural", "safe_url", "time",
}  # fmt: skip


TEMPLATES = Path("templates")
SEARCH = settings(max_examples=100, deadline=None, derandomize=True, database=None)


class PlainCodeGenerator(MailCodeGenerator):
    """Code without the steps that are written out in place of calls; the meaning is the same."""

    def read_attribute(self, node: nodes.Getattr, frame: Frame) -> None:
        """Always ask the environment."""
        self.write("environment.getattr(")
        self.visit(node.node, frame)
        self.write(f", {node.attr!r})")

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo) -> None:
        self.write(f"{'escape' if frame.eval_ctx.autoescape else 'str'}(environment.show(")

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo) -> None:
        self.write(", '', 1, ''))")


class Slow(MailEnvironment):
    """The environment without its short cuts."""

    code_generator_class = PlainCodeGenerator
    make_globals = ImmutableSandboxedEnvironment.make_globals
    call = ImmutableSandboxedEnvironment.call


def environment_of(kind: type[MailEnvironment], parts: dict[str, str]) -> MailEnvironment:
    """The environment of HTML parts, with the short cuts or without."""
    env = environment(parts, autoescape=True)
    env.__class__ = kind
    return env


def told(kind: type[MailEnvironment], text: str, **values: Any) -> str:
    """What a text renders to, or the error that it ends with, with a macro `ui.m` to import."""
    macro = "{% macro m(a, b=1) %}{{ a }}-{{ b }}{{ caller is defined }}{% endmacro %}{% set v = 5 %}"
    base = "<base>{% block b %}{{ x is defined }}{{ '<' }}{% endblock %}"
    try:
        template = environment_of(kind, {"part": text, "ui": macro, "base": base}).get_template("part")
        return render_limited(template, values)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
        return f"{type(error).__name__}: {error}"


def rendered(text: str, *, autoescape: bool = False, **values: Any) -> str:
    """The text, rendered as a part of a mail would be."""
    template = environment({"part": text}, autoescape=autoescape).get_template("part")
    return render_limited(template, values)


def test_the_filters_are_an_allow_list() -> None:
    """Exactly the named filters exist, in either environment."""
    for autoescape in (True, False):
        known = set(environment({}, autoescape=autoescape).filters)
        assert {name for name in known if name.isidentifier()} == ALLOWED == sandbox.FILTERS
        assert known - ALLOWED == ACTING.keys()  # no template can write these


@pytest.mark.parametrize("name", ["attr", "map", "format", "pprint", "tojson", "xmlattr", "safe", "groupby", "select"])
def test_any_other_filter_is_refused(name: str) -> None:
    """A filter that mail does not need, or that reaches into objects, is an error when the template is compiled."""
    with pytest.raises(TemplateAssertionError, match="No filter named"):
        rendered("{{ x|" + name + " }}", x="a")


@pytest.mark.parametrize("name", ["lipsum", "cycler", "namespace", "joiner", "dict"])
def test_no_global_but_range_exists(name: str) -> None:
    """Jinja's other globals are undefined names here."""
    with pytest.raises(UndefinedError, match=f"'{name}' is undefined"):
        rendered("{{ " + name + "(1) }}")


def test_range_is_there_and_limited() -> None:
    """A template may count, up to Jinja's limit."""
    assert rendered("{% for n in range(3) %}{{ n }}{% endfor %}") == "012"
    with pytest.raises(OverflowError):
        rendered("{% for n in range(100001) %}{% endfor %}")


@pytest.mark.parametrize("text", ["{{ 'a' * n }}", "{{ n ** n }}", "{{ '%9d' % n }}", "{{ n * n }}"])
def test_operators_that_blow_up_are_refused(text: str) -> None:
    """Multiplication, powers and %-formatting turn a few characters into gigabytes."""
    with pytest.raises(SecurityError, match="is not available in templates"):
        rendered(text, n=9)


@pytest.mark.parametrize("text", ["{{ 'a' * 10000000000 }}", "{{ 10 ** 10 ** 8 }}", "{{ '%9999999999d' % 1 }}"])
def test_constants_are_not_folded_by_the_compiler(text: str) -> None:
    """An operator between constants is refused as well, and is not computed while compiling."""
    with pytest.raises(SecurityError, match="is not available in templates"):
        rendered(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ x.__init__ }}",
        "{{ '{0.__class__}'.format(x) }}",
        "{{ '{0.__class__.__mro__}'.format(x) }}",
        "{{ '{x.__class__}'.format_map({'x': x}) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ self.__init__ }}",
        "{{ range.__globals__ }}",
        "{{ x.append(1) }}",
        "{{ x.clear() }}",
        "{{ y.update(a=1) }}",
        "{{ y.pop('k') }}",
        "{{ (1).to_bytes(1) }}",
        "{% set _ = x.extend([1]) %}",
    ],
)
def test_reaching_out_is_refused(text: str) -> None:
    """Dunder attributes, format strings that read attributes and changing the inputs are refused."""
    x, y = [0], {"k": 1}
    with pytest.raises(SecurityError):
        rendered(text, x=x, y=y)
    assert (x, y) == ([0], {"k": 1})


@pytest.mark.parametrize(
    "text", ["{{ nothing }}", "{{ a.nothing }}", "{% if nothing %}x{% endif %}", "{{ nothing.at }}"]
)
def test_an_undefined_name_is_an_error(text: str) -> None:
    """A typo in a template is found, never rendered as nothing."""
    with pytest.raises(UndefinedError):
        rendered(text, a={})


def test_an_undefined_name_may_be_asked_for() -> None:
    """`is defined` and `default` are how optional variables are used."""
    assert rendered("{{ a|default('x') }}{% if a is defined %}y{% endif %}") == "x"


@pytest.mark.parametrize("name", ["filter", "test"])
def test_tests_about_the_engine_are_refused(name: str) -> None:
    """`is filter` and `is test` tell what exists; no mail needs that."""
    with pytest.raises(TemplateAssertionError, match="No test named"):
        rendered("{{ 'upper' is " + name + " }}")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("{{ x }}", "&lt;script&gt;&#34;&amp;&#39;"),
        ('<a title="{{ x }}">', '<a title="&lt;script&gt;&#34;&amp;&#39;">'),
        ("{{ x ~ '<' }}", "&lt;script&gt;&#34;&amp;&#39;&lt;"),
    ],
)
def test_html_is_escaped(text: str, html: str) -> None:
    """A variable cannot bring markup into the HTML part."""
    assert rendered(text, autoescape=True, x="<script>\"&'") == html


def test_text_is_not_escaped() -> None:
    """Subject and text part show a variable as it is."""
    assert rendered("{{ x }}", x="<script>\"&'") == "<script>\"&'"


def test_the_output_may_be_as_long_as_the_limit() -> None:
    """Exactly the limit is rendered."""
    assert len(rendered("{{ x }}", x="a" * OUTPUT_LIMIT)) == OUTPUT_LIMIT


def test_output_beyond_the_limit_is_stopped() -> None:
    """Rendering stops at the limit rather than after it."""
    with pytest.raises(OutputTooLargeError):
        rendered("{% for a in range(100000) %}{% for b in range(100000) %}aaaaaaaaaaaaaaaa{% endfor %}{% endfor %}")


def test_lines_with_tags_only_leave_no_trace() -> None:
    """Blocks are trimmed, so that a template can be laid out for reading."""
    assert rendered("a\n  {% if true %}\n  b\n  {% endif %}\nc\n") == "a\n  b\nc"


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
    """Reading keys and calling macros gives what the library gives, the refusals and their words included."""
    values = {"a": "<1>", "b": {"c": 2}, "_y": 3, "items": "i", "update": "u", "__class__": "c"}
    values |= {"n": -7, "t": True, "f": False, "z": None, "l": [{"c": "&"}, {}]}
    assert told(MailEnvironment, text, x=values) == told(Slow, text, x=values)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text("<>&'\" a", max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd") | st.text(), inner, max_size=4),
    max_leaves=9,
)


@SEARCH
@given(VALUES)
def test_whatever_a_variable_is_the_short_cuts_change_nothing(value: Any) -> None:
    """Values of every JSON type, marked text and keys that are there or not come out as the library writes them."""
    text = (
        "{{ x }} {{ x.a|default('<') }} {{ (x.b|default({})).c|default(x) }} {{ x|e }} {{ (x ~ '')|upper }} {{ [x] }} "
        "{{ x ~ '<' }}{% import 'ui' as ui %}{{ ui.m(x) }}{{ ui.m(ui.m(x)) }}<a href='{{ x }}'>"
    )
    made = told(MailEnvironment, text, x=value)
    assert made == told(Slow, text, x=value)
    assert "Error" not in made or "Error" in repr(value)


@pytest.mark.parametrize("text", ["{{ x }}", "{{ x.a }}", "{{ x|upper }}"])
@pytest.mark.parametrize(
    "value", [Markup("<b>"), type("Text", (str,), {"__html__": lambda _: "<i>"})("<u>"), type("Whole", (int,), {})(7)]
)
def test_a_type_of_its_own_is_shown_as_the_library_shows_it(text: str, value: object) -> None:
    """Only text and whole numbers themselves take the short way, and none of what is derived from them."""
    assert told(MailEnvironment, text, x=value) == told(Slow, text, x=value)


def test_nothing_is_shared_between_two_renders() -> None:
    """What a template sets, and names that hide a global, are gone with the render."""
    template = environment(
        {"part": "{{ range == 1 }}{{ '' if range is callable else range }}{% set range = 2 %}{{ range }}"},
        autoescape=True,
    ).get_template("part")
    values = {"range": 1}
    assert [render_limited(template, values) for _ in range(2)] == ["true12", "true12"]
    assert values == {"range": 1}
    assert render_limited(template, {}) == "false2"
    assert list(template.globals) == ["range"]


def test_a_part_with_many_empty_pieces_goes_on_behind_them() -> None:
    """A run of pieces that are all empty is not the end."""
    text = "{% for x in range(1000) %}{{ '' if x else '' }}{% endfor %}end"
    assert rendered(text) == "end"


@pytest.mark.parametrize("slug", files.slugs(TEMPLATES))
def test_the_shipped_templates_render_the_same_without_short_cuts(slug: str) -> None:
    """Every part of what is shipped is, letter for letter, what the library alone makes of it."""
    source = files.read(TEMPLATES, slug)
    values = {**source.sample, "locale": "en", "subject": "Hi"}
    quick, slow = (environment_of(kind, source.files) for kind in (MailEnvironment, Slow))
    for name in source.files:
        if name.rpartition("/")[2] in PARTS:
            made = [render_limited(env.get_template(name), values) for env in (quick, slow)]
            assert made[0] == made[1]
