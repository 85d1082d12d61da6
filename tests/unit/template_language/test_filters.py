"""The filters: dates, numbers and money in the reader's language, and refused values."""

import re
from typing import Any

import pytest

from notifier.template_language.filters import ValueRefusedError
from notifier.template_language.sandbox import create_environment, render_limited


def render(text: str, locale: str = "en", *, html: bool = False, **values: Any) -> str:
    """Render a text in a mail of this language."""
    template = create_environment({"part": text}, autoescape=html, locale=locale, strict=True).get_template("part")
    return render_limited(template, values).replace("\xa0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("text", "locale", "result"),
    [
        ('{{ "2026-03-09" | date }}', "en", "Mar 9, 2026"),
        ('{{ "2026-03-09" | date("full") }}', "fr-CA", "lundi 9 mars 2026"),
        ('{{ "2026-03-09" | date("d. MMMM y") }}', "de", "9. März 2026"),
        ('{{ "2026-03-09T23:30:00Z" | date }}', "de", "09.03.2026"),
        ('{{ "2026-03-09T23:30:00Z" | date(zone="Europe/Paris") }}', "de", "10.03.2026"),
        ('{{ "2026-03-09T23:30:00+02:00" | date("short") }}', "en-GB", "09/03/2026"),
        ('{{ "14:30" | time }}', "en", "2:30 PM"),
        ('{{ "2026-03-09T14:30:00Z" | time("HH:mm", "Asia/Kolkata") }}', "de", "20:00"),
        ('{{ "2026-03-09T14:30:00Z" | datetime("short", "Europe/Berlin") }}', "de", "09.03.26, 15:30"),
        ('{{ "2026-07-09T14:30:00Z" | time("long", "Europe/Berlin") }}', "de", "16:30:00 MESZ"),
        ('{{ "2026-03-09T14:30:00" | datetime("short") }}', "de", "09.03.26, 14:30"),
        ('{{ "1234567.899" | money("EUR") }}', "fr", "1 234 567,90 €"),
        ('{{ 12 | money("JPY") }}', "en", "¥12"),
        ('{{ 0.1 | money("EUR") }} {{ "0.615" | money("EUR") }}', "en", "€0.10 €0.62"),
        ('{{ "9007199254740993.01" | money("USD") }}', "en", "$9,007,199,254,740,993.01"),
        ("{{ 1234.5 | number }} {{ 1234.5 | number(2) }} {{ 3 | number(0) }}", "de", "1.234,5 1.234,50 3"),
        ("{{ 12345678 | number }}", "hi", "1,23,45,678"),
        ("{{ 0.256 | percent }} {{ 0.256 | percent(1) }}", "fr", "26 % 25,6 %"),
        ('{{ 1 | plural("one item", "{n} items") }}', "en", "one item"),
        ('{{ 1200 | plural("one item", "{n} items") }}', "en", "1,200 items"),
        ('{{ 5 | plural("{n} plik", few="{n} pliki", many="{n} plików", other="{n} pliku") }}', "pl", "5 plików"),
        ('{{ 22 | plural("{n} plik", few="{n} pliki", many="{n} plików", other="{n} pliku") }}', "pl", "22 pliki"),
        ('{{ "2026-03-09" | date }}', "xx-Nowhere", "Mar 9, 2026"),
        ('{{ "2026-03-09" | date }}', "../../../etc/passwd", "Mar 9, 2026"),
        ('{{ "https://shop.example/?a=1" | safe_url }}', "en", "https://shop.example/?a=1"),
        ('{{ "a\nb" | nl2br }}', "en", "a\nb"),
    ],
)
def test_a_value_is_written_as_the_language_writes_it(text: str, locale: str, result: str) -> None:
    """Dates, times, amounts and counts in each language; an unknown language uses English."""
    assert render(text, locale) == result


def test_a_macro_writes_in_the_language_of_the_mail() -> None:
    """A layout's macro uses the mail's language, though it has no variables."""
    files = {"ui": "{% macro m(x) %}{{ x | number }}{% endmacro %}", "part": "{% import 'ui' as ui %}{{ ui.m(1.5) }}"}
    made = [
        render_limited(create_environment(files, autoescape=True, locale=tag).get_template("part"), {})
        for tag in ("de", "en")
    ]
    assert made == ["1,5", "1.5"]


def test_line_breaks_are_seen_and_markup_is_not() -> None:
    """Text between line breaks is escaped."""
    assert render("{{ x | nl2br }}", html=True, x="a<b>\n&") == "a&lt;b&gt;<br>\n&amp;"


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ('{{ "abc" | money("EUR") }}', "money", '"12.50"'),
        ('{{ "1e5" | money("EUR") }}', "money", '"12.50"'),
        ('{{ true | money("EUR") }}', "money", '"12.50"'),
        ('{{ none | money("EUR") }}', "money", '"12.50"'),
        ('{{ 1 | money("EURO") }}', "money", "three letters"),
        ("{{ 1e300 | number }}", "number", "24 digits"),
        ("{{ 1 | number(99) }}", "number", "10 digits"),
        ("{{ [] | percent }}", "percent", "a number"),
        ('{{ 2 | plural("a") }}', "plural", "two texts"),
        ('{{ 2 | plural("a", "b", some="c") }}', "plural", "two texts"),
        ('{{ "2026-02-30" | date }}', "date", "2026-03-09"),
        ("{{ 1765432100 | date }}", "date", "2026-03-09"),
        ('{{ "2026-03-09" | date("lang") }}', "date", "short, medium, long, full"),
        ('{{ "2026-03-09" | date(["short"]) }}', "date", "short, medium, long, full"),
        ('{{ "2026-03-09" | datetime }}', "datetime", "a date with a time"),
        ('{{ "2026-03-09" | time }}', "time", "14:30"),
        ('{{ "25:00" | time }}', "time", "14:30"),
        ('{{ "2026-03-09T10:00:00" | time("full") }}', "time", "an offset"),
        ('{{ "2026-03-09T10:00:00" | date(zone="Europe/Paris") }}', "date", "an offset"),
        ('{{ "2026-03-09T10:00:00Z" | date(zone="../../../etc/passwd") }}', "date", "Europe/Paris"),
        ('{{ "0001-01-01T00:00:00+10:00" | date(zone="UTC") }}', "date", "2026-03-09"),
        ("{{ [1] | nl2br }}", "nl2br", "text"),
        ('{{ "javascript:alert(1)" | safe_url }}', "safe_url", "https://"),
        ('{{ "shop.example" | safe_url }}', "safe_url", "https://"),
        ('{{ "https://" | safe_url }}', "safe_url", "https://"),
    ],
)
def test_a_wrong_value_is_told_in_a_sentence(text: str, name: str, expected: str) -> None:
    """The message names filter, actual and expected kind, and never shows a value."""
    with pytest.raises(ValueRefusedError) as raised:
        render(text)
    assert raised.value.message.startswith(f"“{name}” cannot take ")
    assert expected in raised.value.advice
    assert not any(value in raised.value.message for value in re.findall(r'"([^"]{3,})"', text))
