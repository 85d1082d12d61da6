"""The sandbox: what templates may use, and what is refused."""

from typing import Any

import pytest
from jinja2 import UndefinedError
from jinja2.exceptions import SecurityError, TemplateAssertionError

from notifier.mail.limits import MAX_OUTPUT, OutputTooLargeError
from notifier.template_language import sandbox
from notifier.template_language.context_filters import CONTEXT_FILTERS
from notifier.template_language.sandbox import create_environment, render_limited

ALLOWED = {
    "abs", "capitalize", "count", "d", "default", "e", "escape", "first", "float", "int", "join", "last", "left",
    "length", "list", "lower", "replace", "reverse", "right", "round", "sort", "sum", "title", "trim", "truncate",
    "unique", "upper", "urlencode", "wordwrap",
    "date", "datetime", "money", "nl2br", "number", "percent", "plural", "safe_url", "time",
}  # fmt: skip


def rendered(text: str, *, autoescape: bool = False, **values: Any) -> str:
    """Render the text like a part of a mail."""
    template = create_environment({"part": text}, autoescape=autoescape).get_template("part")
    return render_limited(template, values)


def test_the_filters_are_an_allow_list() -> None:
    """Both environments have exactly the listed filters."""
    for autoescape in (True, False):
        known = set(create_environment({}, autoescape=autoescape).filters)
        assert {name for name in known if name.isidentifier()} == ALLOWED == sandbox.TEMPLATE_FILTERS
        assert known - ALLOWED == CONTEXT_FILTERS.keys()  # no template can write these


@pytest.mark.parametrize("name", ["attr", "map", "format", "pprint", "tojson", "xmlattr", "safe", "groupby", "select"])
def test_any_other_filter_is_refused(name: str) -> None:
    """An unlisted filter is an error when the template is compiled."""
    with pytest.raises(TemplateAssertionError, match="No filter named"):
        rendered("{{ x|" + name + " }}", x="a")


@pytest.mark.parametrize("name", ["lipsum", "cycler", "namespace", "joiner", "dict"])
def test_no_global_but_range_exists(name: str) -> None:
    """Jinja's other globals are undefined."""
    with pytest.raises(UndefinedError, match=f"'{name}' is undefined"):
        rendered("{{ " + name + "(1) }}")


def test_range_is_there_and_limited() -> None:
    """`range` works up to Jinja's limit."""
    assert rendered("{% for n in range(3) %}{{ n }}{% endfor %}") == "012"
    with pytest.raises(OverflowError):
        rendered("{% for n in range(100001) %}{% endfor %}")


@pytest.mark.parametrize("text", ["{{ 'a' * n }}", "{{ n ** n }}", "{{ '%9d' % n }}", "{{ n * n }}"])
def test_operators_that_blow_up_are_refused(text: str) -> None:
    """Multiplication, powers and %-formatting are refused, because they can make gigabytes."""
    with pytest.raises(SecurityError, match="is not available in templates"):
        rendered(text, n=9)


@pytest.mark.parametrize("text", ["{{ 'a' * 10000000000 }}", "{{ 10 ** 10 ** 8 }}", "{{ '%9999999999d' % 1 }}"])
def test_constants_are_not_folded_by_the_compiler(text: str) -> None:
    """An operator between constants is not computed while compiling, and is refused."""
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
    """Dunder attributes, attribute reads in format strings and changes of inputs are refused."""
    x, y = [0], {"k": 1}
    with pytest.raises(SecurityError):
        rendered(text, x=x, y=y)
    assert (x, y) == ([0], {"k": 1})


@pytest.mark.parametrize(
    "text", ["{{ nothing }}", "{{ a.nothing }}", "{% if nothing %}x{% endif %}", "{{ nothing.at }}"]
)
def test_an_undefined_name_is_an_error(text: str) -> None:
    """An undefined name is an error, not empty text."""
    with pytest.raises(UndefinedError):
        rendered(text, a={})


def test_an_undefined_name_may_be_asked_for() -> None:
    """`is defined` and `default` work with undefined names."""
    assert rendered("{{ a|default('x') }}{% if a is defined %}y{% endif %}") == "x"


@pytest.mark.parametrize("name", ["filter", "test"])
def test_tests_about_the_engine_are_refused(name: str) -> None:
    """`is filter` and `is test` are refused."""
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
    """Values are escaped in the HTML part."""
    assert rendered(text, autoescape=True, x="<script>\"&'") == html


def test_text_is_not_escaped() -> None:
    """Values are not escaped in subject and text part."""
    assert rendered("{{ x }}", x="<script>\"&'") == "<script>\"&'"


def test_the_output_may_be_as_long_as_the_limit() -> None:
    """Output of exactly the maximum length is rendered."""
    assert len(rendered("{{ x }}", x="a" * MAX_OUTPUT)) == MAX_OUTPUT


def test_output_beyond_the_limit_is_stopped() -> None:
    """Rendering stops at the maximum length."""
    with pytest.raises(OutputTooLargeError):
        rendered("{% for a in range(100000) %}{% for b in range(100000) %}aaaaaaaaaaaaaaaa{% endfor %}{% endfor %}")


def test_lines_with_tags_only_leave_no_trace() -> None:
    """A line with only a block tag leaves no empty line."""
    assert rendered("a\n  {% if true %}\n  b\n  {% endif %}\nc\n") == "a\n  b\nc"


def test_nothing_is_shared_between_two_renders() -> None:
    """Names set in one render do not exist in the next one."""
    template = create_environment(
        {"part": "{{ range == 1 }}{{ '' if range is callable else range }}{% set range = 2 %}{{ range }}"},
        autoescape=True,
    ).get_template("part")
    values = {"range": 1}
    assert [render_limited(template, values) for _ in range(2)] == ["true12", "true12"]
    assert values == {"range": 1}
    assert render_limited(template, {}) == "false2"
    assert list(template.globals) == ["range"]


def test_a_part_with_many_empty_pieces_goes_on_behind_them() -> None:
    """A run of empty pieces does not end the output."""
    text = "{% for x in range(1000) %}{{ '' if x else '' }}{% endfor %}end"
    assert rendered(text) == "end"
