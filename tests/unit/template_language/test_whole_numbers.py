"""JSON numbers count by value: `2.0`, `2e0` and `2` make the same mail."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.mail.mail_parts import Mailbox, MailHeader, MailParts
from notifier.rendering.child_program import RenderingChild
from notifier.rendering.protocol import MailVariables, PreviewAnswer, PreviewRequest, RenderJob
from notifier.rendering.source_check import check_source, compare_versions
from notifier.strict_json import MalformedJsonError, hash_canonical, parse_json, parse_number
from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.template_language.variable_schema import VARIABLES_DECODER, find_variable_faults
from notifier.templating.sync.template_files import parse_sample

FILES = {
    "subject.txt": "{{ count }} new messages",
    "body.html": "<p>{{ count }}{% for i in range(count) %}*{% endfor %}{{ 'two' if count is integer else 'no' }}</p>",
    "body.txt": '{{ count }}: {{ lines[0].count }} {{ more["x"] }} {{ list | join("+") }} '
    '{{ count | plural("one", "{n} of them") }} {{ "%s" | replace("%s", "-") }}{{ list[count] }}',
}
TEXT = '{{"count": {0}, "lines": [{{"count": {0}}}], "more": {{"x": {0}}}, "list": [{0}, 1, {0}]}}'


def source(files: dict[str, str], **sample: Any) -> TemplateSource:
    """Build a template with these files and this sample."""
    return TemplateSource(files=files, sample=sample, settings=TemplateSettings(name="A"))


def show(template: TemplateSource, variables: str) -> MailParts:
    """The parts of a mail with the variables from this JSON text."""
    header = MailHeader(
        message_id="<a@example.org>",
        date=datetime(2026, 1, 1, tzinfo=UTC),
        sender=Mailbox("shop@example.org"),
        recipient="ada@example.org",
    )
    job = RenderJob(version="v", locale=None, variables=variables, header=header)
    answer = RenderingChild().answer_request(PreviewRequest(job=job, sources={"v": template}))
    assert isinstance(answer, PreviewAnswer), answer
    return answer.parts


@pytest.mark.parametrize("number", ["2.0", "2.000", "2e0", "2E+0", "0.2e1", "20e-1"])
def test_a_whole_number_makes_the_same_mail_however_it_is_written(number: str) -> None:
    """Shown, counted, repeated and compared, also in lists and objects."""
    template = source(FILES)
    assert show(template, TEXT.format(number)) == show(template, TEXT.format("2"))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("1e3", "1000"),
        ("-0.0", "0"),
        ("-2.0", "-2"),
        ("2.50", "2.5"),
        ("0.1", "0.1"),
        ("9007199254740993.0", "9007199254740993"),
        ("1e20", "1" + "0" * 20),
        ("100000000000000000000", "1" + "0" * 20),
        ("1e300", "1" + "0" * 300),
        ("0.99999999999999999999", "1"),
        ("1e-400", "0"),
    ],
)
def test_a_number_is_shown_by_its_value(number: str, expected: str) -> None:
    """A whole number is shown with all digits and no point or exponent; a fraction stays a fraction."""
    template = source({"subject.txt": "s", "body.html": "<p>{{ n }}</p>", "body.txt": "{{ n }}"})
    parts = show(template, f'{{"n": {number}}}')
    assert parts.text == expected
    assert f"<p>{expected}</p>" in (parts.html or "")


@pytest.mark.parametrize("filters", ['money("EUR")', "number", "number(2)", "percent", 'plural("one", "{n}")'])
@pytest.mark.parametrize(("number", "other"), [("2.0", "2"), ("1.0", "1"), ("12.5", '"12.5"'), ("1e3", "1000")])
def test_a_filter_says_the_same_of_one_number(filters: str, number: str, other: str) -> None:
    """Filters give the same result for any spelling of a number, also as text."""
    template = source({"subject.txt": "s", "body.html": "<p>x</p>", "body.txt": f"{{{{ n | {filters} }}}}"})
    assert show(template, f'{{"n": {number}}}').text == show(template, f'{{"n": {other}}}').text


def test_a_number_that_a_template_reckons_out_has_a_plural() -> None:
    """A quotient that is whole takes the plural form of a whole number."""
    template = source({"subject.txt": "s", "body.html": "x", "body.txt": '{{ (4 / n) | plural("one", "{n} things") }}'})
    assert show(template, '{"n": 4}').text == "one"


def test_a_sample_shows_what_is_sent_and_says_what_may_come() -> None:
    """`2.0` in a sample is shown as 2 and allows fractions."""
    sample = parse_sample('{"count": 2.0}')
    template = source({"subject.txt": "{{ count }}", "body.html": "<p>{{ range(count | int) | length }}</p>"}, **sample)
    report = check_source(template)
    assert report.previews["en"].subject == "2"
    assert report.variables_schema["properties"]["count"] == {"type": "number"}
    assert find_variable_faults(report.variables_schema, {"count": 2.5}) == []
    assert show(template, json.dumps(sample)).subject == "2"


def test_what_is_compared_is_what_is_sent() -> None:
    """The publish gate reads numbers like sending does."""
    version = CompiledVersion(source(FILES))
    old = compare_versions(None, version, MailVariables(locale=None, variables=TEXT.format("2.0")), with_diffs=False)
    assert old.after is None


@pytest.mark.parametrize("body", [b'{"a": [2.0, {"b": 1e2}]}', b'{"a": [2, {"b": 100.00}]}'])
def test_a_body_is_the_same_request_however_its_numbers_are_written(body: bytes) -> None:
    """For an Idempotency-Key 2.0 equals 2 (RFC 8785)."""
    assert hash_canonical(parse_json(body)) == hash_canonical({"a": [2, {"b": 100}]})


def test_an_integer_takes_a_whole_number_in_any_spelling_and_no_fraction() -> None:
    """By JSON Schema 1.0 is an integer and 1.5 is not."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    for text in ("2.0", "1e3", "-0.0", "1e20"):
        assert find_variable_faults(schema, parse_json(f'{{"n": {text}}}'.encode())) == []
    (fault,) = find_variable_faults(schema, parse_json(b'{"n": 2.5}'))
    assert fault.code == "wrong_variable_type"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_reading_a_number_changes_no_value(number: float) -> None:
    """A parsed number equals the written one, and a whole number is an `int`."""
    value = parse_number(repr(number))
    assert float(value) == number
    assert isinstance(value, int) is number.is_integer()
    assert VARIABLES_DECODER.decode(f'{{"n": {number!r}}}') == {"n": value}


@pytest.mark.parametrize("digits", ["1e400", "-1e999999999999"])
def test_a_number_too_large_is_still_refused(digits: str) -> None:
    """A number that would be infinite is refused."""
    with pytest.raises(MalformedJsonError):
        parse_json(digits.encode())
