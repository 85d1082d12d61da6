"""The search box understands addresses, ids and words, and says what it does not understand."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.console.mail_words import join_words, parse_search, split_words
from notifier.ids import generate_id
from notifier.lookup.index_walk import NotificationFilter
from notifier.states import Status

ZONE = ZoneInfo("Europe/Amsterdam")
NOW = datetime(2026, 12, 4, 23, 30, tzinfo=UTC)  # in Amsterdam it is Saturday already


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("Bob@Example.com", {"to": "Bob@example.com"}),
        ("<bob@example.com>,", {"to": "bob@example.com"}),
        ("to:bob@example.com status:failed", {"to": "bob@example.com", "status": Status.FAILED}),
        ("status:Scheduled", {"status": Status.QUEUED, "scheduled": True}),
        ("status:queued", {"status": Status.QUEUED, "scheduled": False}),
        ('tag:"two words" template:welcome', {"tag": "two words", "template": "welcome"}),
        ("after:today", {"created_after": datetime(2026, 12, 4, 23, tzinfo=UTC)}),
        ("after:yesterday", {"created_after": datetime(2026, 12, 3, 23, tzinfo=UTC)}),
        ("before:2026-07-01", {"created_before": datetime(2026, 6, 30, 22, tzinfo=UTC)}),
        ('before:"2026-07-01 12:30"', {"created_before": datetime(2026, 7, 1, 10, 30, tzinfo=UTC)}),
    ],
)
def test_words_become_a_filter(text: str, fields: dict[str, Any]) -> None:
    """Days are those of the reader; a value in quotes may have blanks."""
    search = parse_search(text, ZONE, NOW)
    assert (search.filter, search.problems) == (NotificationFilter(**fields), ())


def test_an_id_is_understood_in_each_spelling() -> None:
    """With and without hyphens, and as a Message-ID."""
    id_ = generate_id()
    for text in (str(id_), str(id_).upper(), id_.hex, f"<{id_.hex}@shop.example>", f"{id_.hex}@shop.example"):
        assert parse_search(text, ZONE, NOW).id == id_, text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("state:failed", "state: is not a word here; did you mean status:?"),
        ("colour:red", "colour: is not a word here; the words are to:, tag:"),
        ("status:faild", "faild is no status; did you mean failed?"),
        ("status:x", "x is no status; it is one of scheduled,"),
        ("tag:", "After tag: something is missing."),
        ("after:tuesday", "tuesday is no day. Write it as 2026-12-05, or today."),
        ("after:2026-13-01", "2026-13-01 is no day."),
    ],
)
def test_what_is_not_understood_gets_a_proposal(text: str, problem: str) -> None:
    """The problem names what was typed, and what is near."""
    (said,) = parse_search(text, ZONE, NOW).problems
    assert said.startswith(problem)


def test_other_letters_are_looked_for_in_addresses_and_templates() -> None:
    """Neither an address nor a word: what an address or a name begins with."""
    search = parse_search("order shipped", ZONE, NOW)
    assert (search.letters, search.filter) == ("order shipped", NotificationFilter())


def test_a_chip_takes_one_word_away() -> None:
    """Each chip names the rest of the search, with its quotes."""
    search = parse_search('bob@example.com tag:"a b" status:sent', ZONE, NOW)
    assert [chip.rest for chip in search.chips] == [
        '"tag:a b" status:sent',
        "bob@example.com status:sent",
        'bob@example.com "tag:a b"',
    ]


@given(st.text(max_size=80))
def test_any_text_is_answered(text: str) -> None:
    """Nothing that is typed is an error, and words survive being joined and split."""
    search = parse_search(text, ZONE, NOW)
    parts = [chip.text for chip in search.chips]
    assert split_words(join_words(parts)) == parts or '"' in text
