"""Support can tell the recipient what became of a mail, in words without our trade."""

import re
from datetime import timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from support.known_mail import NOW, build_attempt, build_view

from notifier.lookup.answer_table import ANSWER_ROWS
from notifier.lookup.customer_words import CUSTOMER_ROWS, build_customer_words
from notifier.lookup.notification_view import NotificationView
from notifier.lookup.wait_explanation import Because, WaitCause
from notifier.states import EntryState, KeyKind, Reason, Status

ZONE = ZoneInfo("Europe/Amsterdam")
OURS = re.compile(
    r"relay|template|suppress|sender|queue|notification|outbox|batch|status|attempt|our mail server|operator|{|}|None"
)


def _say(view: NotificationView, *codes: Because) -> str:
    causes = [WaitCause(code=code, detail="x") for code in codes]
    return build_customer_words(view, now=NOW, causes=causes, zone=ZONE)


def test_whatever_happened_is_said_in_two_sentences_without_inner_words() -> None:
    """For every status, reason, kind of wait and kind of key."""
    causes: list[tuple[Because, ...]] = [(), *((code,) for code in Because)]
    for status, reason, entry, kind in product(Status, (None, *Reason), (None, *EntryState), KeyKind):
        view = build_view(status, reason, entry_state=entry, kind=kind)
        for codes in causes if entry is EntryState.READY else causes[:1]:
            words = _say(view, *codes)
            assert len(re.findall(r"\.(?= [A-Z]|$)", words)) == 2, words
            assert words.endswith(".")
            assert not OURS.search(words), words
            assert "bob@example.com" in words


def test_the_rows_are_situations_that_occur() -> None:
    """No row is for a pair that the table of answers does not have, but for that of a status alone."""
    assert {situation for situation in CUSTOMER_ROWS if situation[1] is not None} <= set(ANSWER_ROWS)
    assert {(status, None) for status in Status} <= set(CUSTOMER_ROWS)


@pytest.mark.parametrize(
    ("view", "codes", "words"),
    [
        (
            build_view(Status.SENT, uncertain_at=NOW - timedelta(days=1)),
            [],
            (
                "The mail server accepted the mail to bob@example.com on 4 December 2026 at 15:02 (UTC+1)."
                " If you do not see it, please look into your spam folder."
            ),
        ),
        (
            build_view(Status.UNKNOWN, uncertain_at=NOW - timedelta(days=1), entry_state=EntryState.HELD),
            [],
            "We sent the mail to bob@example.com on 3 December 2026 at 15:02 (UTC+1), but nobody confirmed",
        ),
        (
            build_view(Status.BOUNCED, attempts=[build_attempt(552, "5.2.2")]),
            [],
            "came back on 4 December 2026 at 15:02 (UTC+1), because the mailbox is full. Please check the address",
        ),
        (
            build_view(Status.BOUNCED, attempts=[build_attempt(550, "5.7.26")]),  # what is wrong is ours to know
            [],
            "came back on 4 December 2026 at 15:02 (UTC+1). Please check the address",
        ),
        (
            build_view(Status.SUPPRESSED, Reason.RECIPIENT_SUPPRESSED, detail="the address is suppressed: complained"),
            [],
            "because an earlier mail was marked as spam there.",
        ),
        (build_view(Status.QUEUED), [Because.SUPPRESSED], "We do not send mail to bob@example.com. Please tell us"),
        (build_view(Status.QUEUED), [Because.CIRCUIT_OPEN], "is delayed on our side"),
        (build_view(Status.SENT, kind=KeyKind.TEST), [], "This was only a test"),
        (build_view(Status.SENT, recipient="{at}@example.com"), [], "the mail to {at}@example.com on 4"),
    ],
)
def test_the_words_have_the_facts_of_the_mail(view: NotificationView, codes: list[Any], words: str) -> None:
    """The address, the time with its date and zone, and of the server's words only what is about the mailbox."""
    assert words in _say(view, *codes)
