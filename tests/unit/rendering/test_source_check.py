"""The check before publishing: faults, warnings, previews."""

from typing import Any

import pytest

from notifier.mail.mail_parts import RenderedParts
from notifier.rendering.child_program import RenderingChild
from notifier.rendering.protocol import CheckRequest, SourceCheck
from notifier.rendering.source_check import check_source
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.template_language.variable_schema import build_schema


def checked(files: dict[str, str], *, optional: tuple[str, ...] = (), **sample: Any) -> SourceCheck:
    """The report on a template with these files and this sample."""
    settings = TemplateSettings(name="A", locale="en", optional=optional)
    return check_source(TemplateSource(files=files, sample=sample, settings=settings))


def faults(files: dict[str, str], *, optional: tuple[str, ...] = (), **sample: Any) -> list[str]:
    """The faults, in words."""
    return [str(fault) for fault in checked(files, optional=optional, **sample).faults]


HTML = (
    '<html lang="{{ locale }}"><title>{{ subject }}</title>'
    '<body><p style="display: none">{{ b.c }}</p><p>{{ b.c }}</p></body></html>'
)
GOOD = {"subject.txt": "Hi {{ a }}", "body.html": HTML, "body.txt": "{{ b.c }}"}
FRENCH = {f"locales/fr/{name}": text.replace("Hi", "Salut") for name, text in GOOD.items()}


def test_a_good_template_is_shown_in_every_locale() -> None:
    """No faults or warnings, one preview per locale, and the paths that its subjects read."""
    report = checked({**GOOD, **FRENCH, "locales/fr/subject.txt": "Salut {{ b.c }}"}, a=1, b={"c": 2})
    preview = HTML.replace("{{ b.c }}", "2")
    english, french = (
        preview.replace("{{ locale }}", tag).replace("{{ subject }}", subject)
        for tag, subject in (("en", "Hi 1"), ("fr", "Salut 2"))
    )
    assert report == SourceCheck(
        faults=[],
        remarks=[],
        variables_schema=build_schema({"a": 1, "b": {"c": 2}}),
        subject_paths=[["a"], ["b", "c"]],
        previews={
            "en": RenderedParts(subject="Hi 1", html=english, text="2"),
            "fr": RenderedParts(subject="Salut 2", html=french, text="2"),
        },
    )


def test_a_child_answers_a_check_with_the_report() -> None:
    """The child's answer to a check is the same report."""
    source = TemplateSource(files=GOOD, sample={"a": 1, "b": {"c": 2}}, settings=TemplateSettings(name="A"))
    assert RenderingChild().answer_request(CheckRequest(source=source)) == check_source(source)


def test_missing_parts_are_named() -> None:
    """Each locale needs subject and HTML, and text if the default has it."""
    assert faults({"subject.txt": "Hi", "body.txt": "x", "locales/fr/body.html": "<p>"}) == [
        "body.html: this part is missing",
        "locales/fr/subject.txt: this part is missing",
        "locales/fr/body.txt: this part is missing",
    ]


def test_a_missing_variable_is_a_fault() -> None:
    """Each part that reads a variable missing in the sample is a fault."""
    assert [fault.partition(". ")[0] for fault in faults(GOOD, a=1, b={})] == [
        "body.html, line 1, column 89: “b” has no “c”",
        "body.txt, line 1, column 4: “b” has no “c”",
    ]


def test_what_is_wrong_is_told_at_once() -> None:
    """Each failing part and locale is reported with its place, and a shared fault only once."""
    broken = {
        "subject.txt": "{{ a",
        "body.html": "{% include '_layouts/a.html' %}",
        "body.txt": "{% if a %}",
        "_layouts/a.html": "{{ a | nothing }}",
        "locales/fr/subject.txt": "{{ d }}",
        "locales/fr/body.html": "{% include '_layouts/a.html' %}",
        "locales/fr/body.txt": "{{ b.c }}",
    }
    places = [fault.partition(",")[0] for fault in faults(broken, a=1, b={"c": 2})]
    assert places == ["subject.txt", "_layouts/a.html", "body.txt", "locales/fr/subject.txt"]


def test_a_fault_in_a_locale_is_found() -> None:
    """Every locale is rendered, not only the default."""
    (fault,) = faults({**GOOD, **FRENCH, "locales/fr/body.txt": "\n{{ d }}"}, a=1, b={"c": 2})
    assert fault.startswith("locales/fr/body.txt, line 2, column 4: there is no variable “d”.")


def test_leaving_out_what_is_optional_is_tried() -> None:
    """A template that fails without an optional variable cannot be published."""
    (fault,) = faults(GOOD, optional=("a",), a=1, b={"c": 2})
    assert fault.startswith("subject.txt, line 1, column 7: there is no variable “a”.")
    asking = {**GOOD, "subject.txt": "Hi {% if a is defined %}{{ a }}{% endif %}"}
    assert faults(asking, optional=("a",), a=1, b={"c": 2}) == []


def test_a_syntax_error_names_part_and_line() -> None:
    """An unclosed block is reported with its place."""
    (fault,) = faults({**GOOD, "body.html": "<p>\n{% if a %}"}, a=1, b={"c": 2})
    assert fault.startswith("body.html, line 2, column 1: “{% if … %}” is opened here and never closed.")


def test_a_syntax_error_in_a_subject_is_told() -> None:
    """A syntax error in a subject, found before rendering, is reported."""
    (fault,) = faults({**GOOD, "subject.txt": "{{ a"}, a=1, b={"c": 2})
    assert fault.startswith("subject.txt, line 1, column 1: “{{” is never closed")


def test_a_subject_of_two_lines_is_a_fault() -> None:
    """A subject with a line break is a fault, because sending would refuse it."""
    assert faults({**GOOD, "subject.txt": "Hi\n{{ a }}"}, a=1, b={"c": 2}) == [
        "mail: U+000A at position 2 is not allowed in a header"
    ]


def test_nul_in_the_sample_is_a_fault() -> None:
    """A NUL in the sample is a fault."""
    assert faults(GOOD, a=1, b={"c": "\x00"}) == ["mail: the text/plain part contains a NUL character"]


def test_whatever_goes_wrong_is_a_fault() -> None:
    """A lone surrogate from a template is a fault of its own kind, not an overrun."""
    (fault,) = faults({**GOOD, "body.txt": "{{ '\\ud800' }}"}, a=1, b={"c": 2})
    assert fault.startswith("mail: there is half a character in it.")


UNREADABLE = {
    "a long number": ("<p>\n{{ " + "1" * 5_000 + " }}", "body.html, line 2: this number has too many digits."),
    "a long number in a condition": ("{% if 1 == " + "9" * 9_000 + " %}{% endif %}", "body.html, line 1: this number"),
    "an infinite number": ("{{ 1e999 }}", "body.html, line 1: this number is too large"),
    "brackets": ("{{ " + "(" * 3_000 + "1" + ")" * 3_000 + " }}", "body.html: a macro, block or file uses itself"),
    "words": ("{{ " + "not " * 3_000 + "a }}", "body.html: a macro, block or file uses itself"),
    "a sum": ("{{ " + "+".join(["a"] * 3_000) + " }}", "body.html: a macro, block or file uses itself"),
    "dots": ("{{ a" + ".b" * 3_000 + " }}", "body.html: a macro, block or file uses itself"),
    "loops": ("{% for b in [1] %}" * 30 + "{% endfor %}" * 30, "body.html: too many loops"),
    "conditions": ("{% if a %}" * 120 + "{% endif %}" * 120, "body.html: too many tags stand within one another."),
    "half a character": ("{{ '\\ud800' }}", "mail: there is half a character in it."),
    "half an escape": ("{{ '\\x' }}", "body.html, line 1, column 5: “\\” in a text"),
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("file", ["body.html", "subject.txt", "_layouts/base.html"])
def test_whatever_a_template_makes_python_raise_is_told_about_it(name: str, file: str) -> None:
    """Any exception in a template is a fault, and the child survives."""
    html, message = UNREADABLE[name]
    files = {"subject.txt": "Hi", "body.html": "<p>x</p>", file: html}
    if file.startswith("_"):
        files["body.html"] = f'{{% extends "{file}" %}}{{% block a %}}{{% endblock %}}'
    child = RenderingChild()
    answer = child.answer_request(
        CheckRequest(source=TemplateSource(files=files, sample={"a": 1}, settings=TemplateSettings(name="A")))
    )
    assert isinstance(answer, SourceCheck)
    assert answer.faults
    if file == "body.html":
        assert str(answer.faults[0]).startswith(message)
    assert not any("who runs Notifier" in str(fault) for fault in answer.faults)
