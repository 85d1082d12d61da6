"""Variables with text from strangers: readable, without anything that a client would turn into a link."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.template_language.template_values import clean_text, clean_values

SEARCH = settings(max_examples=150, deadline=None, derandomize=True, database=None)
TYPED = r"http:// https: // www. evil .com . @ <a < > --> <!-- js: 1 12 &lt; x : \u202e \u200d \u3002 \uff0e \uff20"
PIECES = st.sampled_from([*TYPED.encode().decode("unicode_escape").split(" "), " ", "\n"])


@pytest.mark.parametrize(
    "text",
    [
        *(
            "J. R. Smith",
            "3.14",
            "e.g. this",
            "10:30",
            "Re: hello",
            "12.03.2026",
            "1.234,50",
            "v1.2.3",
            "U.S.A.",
            "R&D",
        ),
        *(
            "a\nb",
            "&lt;b&gt;",
            "Zo\u00eb \U0001f469\u200d\U0001f680",
            "\u0645\u06cc\u200c\u062e",
            "$5 @ 3",
            "wow... ok",
        ),
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """Names, numbers, times, dates and abbreviations are unchanged."""
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<b>Ann</b>", "Ann"),
        ("a<!-- <b> -->b", "ab"),
        ("<<b>b>x", "\u2039b>x"),
        ("1 < 2", "1 \u2039 2"),
        ("<a href='x", "\u2039a href='x"),
        ("http://evil.example/x", "http: //evil. example/x"),
        ("www.evil.example", "www. evil. example"),
        ("evil。example", "evil。 example"),
        ("9gag.example", "9gag. example"),
        ("1.2.3.4.example", "1.2.3.4. example"),
        ("ann@evil.example", "ann @ evil. example"),
        ("javascript:alert(1)", "javascript: alert(1)"),
        ("tel:112", "tel: 112"),
        ("x\u202egpj.exe\x00", "xgpj. exe"),
        ("a\u200b.example", "a. example"),
        ("a\u200d.example", "a\u200d. example"),
    ],
)
def test_what_would_be_live_is_dead_and_readable(text: str, left: str) -> None:
    """Markup and invisible characters are removed; links and domains get a space inside."""
    assert clean_text(text) == left


@SEARCH
@given(st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join))
def test_no_text_becomes_a_link(text: str) -> None:
    """Any text loses tags, schemes and domains, and cleaning twice changes nothing."""
    result = clean_text(text)
    assert "<" not in result
    assert not re.search(r"[a-zA-Z][\w+.-]*:[^\s\d]", result)
    assert not re.search(r"\S@\S", result)
    domains = re.findall(r"\S[.\u3002\uff0e\uff61]([\w\u200c\u200d]{2,})", result)
    assert [domain for domain in domains if not re.fullmatch("[0-9]+", domain)] == []
    assert clean_text(result) == result


@pytest.mark.parametrize("piece", ["<!--", "<a", "a.", "1.", "a:", "@a", "<b>", "a", "."])
def test_the_longest_value_takes_no_longer_than_its_length(piece: str) -> None:
    """Cleaning takes linear time."""
    assert "<" not in clean_text(piece * (256 * 1024 // len(piece)))


def test_paths_lead_through_lists_and_objects() -> None:
    """Only the named values are cleaned, also inside lists and objects."""
    values = {"a": "<b>", "people": [{"name": "<i>x", "id": "<"}, {"id": 1}], "note": {"k<i>": ["a.example", 2]}}
    left = clean_values(values, [("people", "name"), ("note",), ("gone", "name"), ("a", "b")])
    assert left == {"a": "<b>", "people": [{"name": "x", "id": "<"}, {"id": 1}], "note": {"k": ["a. example", 2]}}
    assert values["people"] == [{"name": "<i>x", "id": "<"}, {"id": 1}]


def test_a_version_cleans_what_is_public_in_every_part() -> None:
    """Public variables are cleaned in subject, HTML and text, other variables are not."""
    files = dict.fromkeys(("subject.txt", "body.html", "body.txt"), "{{ by }} {{ url }}")
    source = TemplateSource(files=files, sample={}, settings=TemplateSettings(name="A", public=("by",)))
    preview = CompiledVersion(source).render(None, {"by": "<b>evil.example</b>", "url": "https://shop.example"})
    assert {preview.subject, preview.html, preview.text} == {"evil. example https://shop.example"}
