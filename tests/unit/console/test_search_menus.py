"""Menus narrow a search to one that the box understands."""

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from notifier.console.mail_words import MailSearch, parse_search
from notifier.console.search_menus import MAX_CHOICES, STATUS_WORDS, SearchMenu, build_search_menus
from notifier.lookup.index_walk import NotificationFilter
from notifier.states import Status

NOW = datetime(2026, 12, 4, 14, 2, tzinfo=UTC)


def _parse(text: str) -> MailSearch:
    return parse_search(text, UTC, NOW)


def _build(text: str) -> list[SearchMenu]:
    templates = [("welcome", "Welcome"), ("old", "")]
    return build_search_menus(_parse(text), services=["shop", "two words"], templates=templates, today=NOW.date())


@pytest.mark.parametrize("text", ["", "bob@example.com", 'tag:"two words" status:failed', "service:shop after:today"])
def test_each_choice_is_understood_and_keeps_what_was_there(text: str) -> None:
    """Every entry is a search without a problem, which asks for what was asked for and for one thing more."""
    before = _parse(text)
    for menu in _build(text):
        for choice in menu.choices:
            after = _parse(parse_qs(urlsplit(choice.url).query)["q"][0])
            assert (after.problems, after.letters) == ((), None), choice
            assert len(after.chips) > len(before.chips)
            assert [chip.text for chip in after.chips][: len(before.chips)] == [chip.text for chip in before.chips]
            assert (after.filter, after.service) != (before.filter, before.service)


def test_a_menu_goes_when_its_word_is_there() -> None:
    """What is chosen is a chip, and is not offered again; an empty menu is not shown."""
    assert [menu.name for menu in _build("")] == ["Did it arrive?", "Template", "Service", "Asked for"]
    assert _build("status:failed template:welcome service:shop before:today") == []
    assert build_search_menus(_parse("status:sent after:today"), services=[], templates=[], today=NOW.date()) == []


def test_every_status_has_words_and_no_menu_is_endless() -> None:
    """The statuses are those that exist; of many services the first ones are listed."""
    assert set(STATUS_WORDS) == {*Status, "scheduled"}
    many = build_search_menus(
        MailSearch(filter=NotificationFilter()), services=map(str, range(200)), templates=[], today=NOW.date()
    )
    assert {menu.name: len(menu.choices) for menu in many}["Service"] == MAX_CHOICES
