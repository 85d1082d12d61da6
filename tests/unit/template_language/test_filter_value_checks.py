"""A value that a filter or a style cannot use is refused at submit."""

from typing import Any

import pytest
from support.value_check_template import ARROW, LINK, build_value_source, can_render, find_faults, list_refused

from notifier.template_language.template_source import TemplateSource

AMOUNT = "{{ total | money('EUR') }} {{ due | date }}"
ORDER = {"total": "12.50", "due": "2026-12-24"}


@pytest.mark.parametrize(
    ("values", "pointers"),
    [
        ({"total": "12,50"}, ["/total"]),
        ({"total": ""}, ["/total"]),
        ({"due": "24.12.2026"}, ["/due"]),
        ({"total": "12 EUR", "due": "soon"}, ["/due", "/total"]),
        ({"total": "1e5"}, ["/total"]),
        ({"total": "1" * 30}, ["/total"]),
        ({"due": "2026-02-30"}, ["/due"]),
        ({"total": " 12.50 "}, []),
        ({"total": "-3", "due": "2026-12-24T10:00:00Z"}, []),
    ],
)
def test_a_value_that_a_filter_cannot_take_is_refused(values: dict[str, Any], pointers: list[str]) -> None:
    """All such values are faults of one reply, in the words of the filter."""
    template = build_value_source("h", ORDER, AMOUNT)
    faults_found = list_refused(template, ORDER | values)
    assert faults_found == [f"/variables{pointer} wrong_variable_value" for pointer in pointers]
    assert can_render(template, ORDER | values) is not bool(pointers)


def test_the_words_are_those_of_the_filter() -> None:
    """The message says what the filter expects, and never shows the value."""
    (fault,) = find_faults(build_value_source("h", ORDER, AMOUNT), ORDER | {"total": "12,50"})
    assert fault.detail == '“money” cannot take this text. It wants a number, or one in a text, such as "12.50".'


SHOP = {
    "items": [{"price": 1.5, "count": 1}], "currency": "EUR", "zone": "Europe/Paris", "at": "2026-03-09T14:30:00Z",
    "maybe": "2026-03-09", "any": None, "share": "0.5", "clock": "14:30",
}  # fmt: skip
FILTERS = [
    ("{% for i in items %}{{ i.price | money(currency) }}{% endfor %}", {"currency": "Euro"}, ["/currency"]),
    ("{{ items[0].price | money(currency=currency) }}", {"currency": "eur"}, ["/currency"]),
    ("{% for i in items %}{{ i.price | money('EUR') }}{% endfor %}", {"items": [{"price": 1, "count": 1}] * 2}, []),
    ("{{ at | time(zone=zone) }}", {"zone": "Mars/Base"}, ["/zone"]),
    ("{{ at | time(zone=zone) }}", {"at": "2026-03-09T14:30:00"}, ["/at"]),
    ("{{ at | datetime('full') }}", {"at": "2026-03-09T14:30:00"}, ["/at"]),
    ("{{ at | datetime }}", {"at": "2026-03-09"}, ["/at"]),
    ("{{ clock | time }}", {"clock": "25:00"}, ["/clock"]),
    ("{{ clock | time }}", {"clock": "8:00"}, ["/clock"]),
    ("{{ share | percent(1) }}{{ share | number }}", {"share": "half"}, ["/share"]),
    ("{{ share | plural('one', 'more') }}", {"share": "many"}, ["/share"]),
    ("{% if maybe %}{{ maybe | date }}{% endif %}", {"maybe": ""}, []),
    ("{% if maybe %}{{ maybe | date }}{% endif %}", {"maybe": "today"}, ["/maybe"]),
    ("{{ maybe | date if maybe else 'some day' }}", {"maybe": ""}, []),
    ("{% if any %}{{ any | nl2br }}{% endif %}", {"any": [5]}, ["/any"]),
    ("{% if any %}{{ any | nl2br }}{% endif %}", {"any": 5}, []),
    ("{% if any is not none and any %}{{ any | money('EUR') }}{% endif %}", {"any": None}, []),
    ("{{ (maybe or '2026-01-01') | date }}", {"maybe": ""}, []),
    ("{{ maybe | default('2026-01-01', true) | date }}", {"maybe": ""}, []),
    ("{% set d = maybe %}{{ d | date }}", {"maybe": ""}, ["/maybe"]),
]


@pytest.mark.parametrize(("text", "values", "pointers"), FILTERS)
def test_filters_in_loops_with_arguments_and_guards(text: str, values: dict[str, Any], pointers: list[str]) -> None:
    """A currency or zone from another variable is checked with that variable's pointer."""
    template = build_value_source("h", SHOP, text)
    assert sorted(list_refused(template, SHOP | values)) == [
        f"/variables{pointer} wrong_variable_value" for pointer in pointers
    ]
    assert can_render(template, SHOP | values) is not bool(pointers)


def test_items_are_told_one_by_one() -> None:
    """Each bad item of a list has its own pointer."""
    items = [{"price": price, "count": 1} for price in ("1.00", "x", "2.00", "")]
    template = build_value_source(
        "h", {"items": [{"price": "1.00", "count": 1}]}, "{% for i in items %}{{ i.price | number }}{% endfor %}"
    )
    assert list_refused(template, {"items": items}) == [
        "/variables/items/1/price wrong_variable_value",
        "/variables/items/3/price wrong_variable_value",
    ]


def test_a_wrong_type_is_told_once() -> None:
    """A value of a wrong type has one fault."""
    assert list_refused(build_value_source("h", ORDER, AMOUNT), ORDER | {"total": 5}) == [
        "/variables/total wrong_variable_type"
    ]


def test_a_style_is_checked_as_a_link_is() -> None:
    """A CSS value that would be dropped is refused."""
    template = build_value_source('<p style="color: {{ colour }}">', {"colour": "red"})
    assert list_refused(template, {"colour": "#a1b2c3"}) == []
    assert list_refused(template, {"colour": "red; display: none"}) == ["/variables/colour wrong_variable_value"]
    assert not can_render(template, {"colour": "red; display: none"})


def test_what_strangers_have_typed_is_looked_at_as_it_is_shown() -> None:
    """A public variable is cleaned before it is checked."""
    template = build_value_source("h", {"total": "12.50"}, "{{ total | number }}", public=("total",))
    assert list_refused(template, {"total": "12.50\u200b"}) == []
    assert can_render(template, {"total": "12.50\u200b"})


@pytest.mark.parametrize("tag", ["fr", "de"])
def test_a_locale_is_looked_at_whatever_is_asked_for(tag: str) -> None:
    """A value is checked for every locale, whatever the request's locale is."""
    files = {f"locales/{tag}/{name}": text for name, text in (("subject.txt", "s"), ("body.html", LINK))}
    template = build_value_source("<p>{{ url }}</p>", ARROW)
    template = TemplateSource(files=template.files | files, sample=ARROW, settings=template.settings)
    assert list_refused(template, {"url": "/x"}) == ["/variables/url invalid_link"]


def test_a_large_request_costs_little() -> None:
    """Only the first thousands of values are checked; rendering checks the others."""
    template = build_value_source("h", {"list": ["1"]}, "{% for one in list %}{{ one | number }}{% endfor %}")
    assert len(find_faults(template, {"list": ["x"] * 60_000})) == 5_000
