"""Error messages for people who do not program: place, mistake and advice."""

from typing import Any

import pytest

from notifier.rendering.source_check import check_source
from notifier.template_language.template_source import FaultCode, RenderFault, TemplateSettings, TemplateSource

SAMPLE = {"name": "Ada", "order": {"total": "3", "lines": [{"title": "Tea"}]}, "count": 2}
LAYOUT = "{% macro button(label) %}\n<b>{{ labl }}</b>\n{% endmacro %}"


def fault(html: str, **files: str) -> RenderFault:
    """The only fault of a template with this HTML."""
    parts = {"subject.txt": "Hi", "body.html": html, "_layouts/base.html": "<p>", "_layouts/parts.html": LAYOUT}
    fault = check_source(
        TemplateSource(files={**parts, **files}, sample=SAMPLE, settings=TemplateSettings(name="A"))
    ).faults
    assert len(fault) == 1
    return fault[0]


MISTAKES = [
    # what was written, line, column, what is said, what is advised
    ("<p>\n{% for x in order.lines %}\n<b>\n", 2, 1, "“{% for … %}” is opened here and never closed", "{% endfor %}"),
    ("{% if name %}\n<p>\n{% for x in [] %}{% endfor %}\n", 1, 1, "“{% if … %}” is opened here", "{% endif %}"),
    ("<p>\n{{ name }</p>", 2, 1, "“{{” is never closed with “}}”", "{{ name }}"),
    ("<p>{{ name</p>\n<p>{{ count }}</p>", 1, 4, "“{{” is never closed with “}}”", "{{ name }}"),
    ("{{ name\n", 1, 1, "“{{” is never closed with “}}”", "{{ name }}"),
    ("{{ name | uper }}", 1, 11, "there is no filter “uper”", "“upper”"),
    ("{% if false %}{{ name | capitalise }}{% endif %}", 1, 25, "there is no filter “capitalise”", "“capitalize”"),
    ("\n{{ nmae }}", 2, 4, "there is no variable “nmae”", "“name”"),
    ("{{ nothing_like_it }}", 1, 4, "there is no variable", "{% if nothing_like_it is defined %}"),
    ("{{ order.totl }}", 1, 4, "“order” has no “totl”", "“total”"),
    ("{{ name.first }}", 1, 4, "“name” is text, and has no “first”", "{{ name | first }}"),
    ("{{ order.items }}", 1, 4, "“order” has no “items”", "order.items()"),
    ("{{ name.strip }}", 1, 4, "“name” is text, and has no “strip”", "name.strip()"),
    ("<p>{% endfor %}", 1, 4, "“{% endfor %}” closes nothing", "{% for … %}"),
    ("{% if name %}\n{% endfor %}", 2, 1, "“{% if … %}” of line 1 is still open", "“{% endif %}” before it"),
    ("{% elif name %}", 1, 1, "“{% elif %}” stands outside any {% if %}", "{% if … %}"),
    ("{% if name %}{% else if count %}{% endif %}", 1, 17, "“else if” is written in one word", "{% elif … %}"),
    ("{% if name == “Ada” %}{% endif %}", 1, 15, "the quotation mark “ is a typographic one", "straight ones"),
    ("{% if count = 1 %}{% endif %}", 1, 13, "one “=” does not compare", "{% if a == b %}"),
    ("{% fro x in order.lines %}{% endfro %}", 1, 1, "“fro” is no tag", "“for”"),
    ("{% for x of order.lines %}{% endfor %}", 1, 10, "a loop needs “in”, not “of”", "{% for item in items %}"),
    ("{% for x in count %}{% endfor %}", 1, 4, "a loop needs a list, and this is a number", "that is a list"),
    ('{% extends "_layouts/bse.html" %}', 1, 13, "there is no file “_layouts/bse.html”", "“_layouts/base.html”"),
    ('\n{% include "footer" %}', 2, 13, "there is no file “footer”", "add the file"),
    ("{{ name > 1 }}", 1, 9, "“>” cannot take text and a number", "| int"),
    ('{{ "No. " + count }}', 1, 11, "“+” cannot take text and a number", "~"),
    ("{{ name(1) }}", 1, 4, "“name” is text, not a macro", "Write the name alone"),
    ("{{ order total }}", 1, 10, "“total” is not expected here", "with a dot"),
    ("{{ name | safe }}", 1, 11, "“safe” is not available", "Write the markup in the template"),
    ("{% block a %}{% endblock %}\n{% block a %}{% endblock %}", 2, 4, "the block “a” is there twice", "line 1"),
    ("{# a note", 1, 1, "“{#” is never closed", "#}"),
    ("{% raw %}x", 1, 1, "“{% raw %}” is never closed", "{% endraw %}"),
    ("{{ count is even_number }}", 1, 13, "there is no test “is even_number”", "=="),
    ("{{ loop.index }}", 1, 4, "“loop” is known inside {% for %} only", "into the loop"),
    ("{{ count / 0 }}", 1, 10, "divides by zero", "{% if %}"),
    ("{{ order.lines[3] }}", 1, 15, "the list is shorter", "{% if %}"),
    ("{% macro m(a) %}{% endmacro %}\n{{ m(1, 2) }}", 2, 4, "the macro “m” takes not more than 1", "brackets"),
    ("{{ name | replace }}", 1, 11, "“replace” takes something else in its brackets", '| replace("a", "b")'),
    ("{{ name", 1, 1, "“{{” is never closed", "{{ name }}"),
    ("{% if name %", 1, 1, "this tag ends too early", "spelling"),
    ("{{ {name }}", 1, 10, "“}” is not expected here", "brackets"),
]


@pytest.mark.parametrize(("html", "line", "column", "message", "advice"), MISTAKES)
def test_a_mistake_is_told_with_its_place_and_what_to_do(
    html: str, line: int, column: int | None, message: str, advice: str
) -> None:
    """A message has line, column, what is wrong and what to write, in plain words."""
    result = fault(html)
    assert (result.part, result.line, result.column) == ("body.html", line, column)
    assert message in result.message
    assert advice in result.advice


@pytest.mark.parametrize(
    ("html", "files", "part", "line"),
    [
        ('{% import "_layouts/parts.html" as ui %}\n\n\n{{ ui.button("a") }}', {}, "_layouts/parts.html", 2),
        ('{% extends "_layouts/base.html" %}', {"_layouts/base.html": "<p>\n\n{{ nmae }}"}, "_layouts/base.html", 3),
        ('{% extends "_layouts/base.html" %}', {"_layouts/base.html": "\n{% if %}"}, "_layouts/base.html", 2),
        ("<p>", {"locales/fr/subject.txt": "Salut", "locales/fr/body.html": "\n{{ nmae }}"}, "locales/fr/body.html", 2),
        ("<p>", {"locales/fr/subject.txt": "{{ name", "locales/fr/body.html": ""}, "locales/fr/subject.txt", 1),
    ],
)
def test_the_file_is_the_one_that_is_at_fault(html: str, files: dict[str, Any], part: str, line: int) -> None:
    """A mistake in a layout or locale is reported for that file."""
    result = fault(html, **files)
    assert (result.part, result.line) == (part, line)


@pytest.mark.parametrize(
    ("html", "code", "message"),
    [
        ("{{ ''.__class__ }}", FaultCode.FORBIDDEN, "“__class__” is not available in templates."),
        ("{{ order.lines.append(1) }}", FaultCode.FORBIDDEN, "“append” is not available in templates."),
        ("{{ name * 3 }}", FaultCode.FORBIDDEN, "the operator * is not available in templates."),
        ("{{ name | attr('x') }}", FaultCode.FORBIDDEN, "“attr” is not available."),
        ("{{ range(100001) }}", FaultCode.TOO_LARGE, "range() counts to 100,000 at most."),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", FaultCode.TOO_LARGE, "without an end"),
        ("{{ name", FaultCode.FAILED, "never closed"),
    ],
)
def test_a_refusal_is_told_apart_from_a_mistake(html: str, code: FaultCode, message: str) -> None:
    """Forbidden and too large templates have codes of their own."""
    result = fault(html)
    assert result.code == code
    assert message in result.message


def test_no_value_is_shown_in_a_message() -> None:
    """A message suggests names from the sample, and never shows a caller's value."""
    result = fault("{{ name > 1 }}{{ nmae }}")
    assert "Ada" not in str(result)
