"""Every status with every reason has an answer, in words that a caller of support understands."""

from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from support.known_mail import NOW, build_attempt, build_view

from notifier.lookup.answer import build_answer, describe_time
from notifier.lookup.answer_table import ANSWER_ROWS, AnswerAction, AnswerKind
from notifier.lookup.notification_view import NotificationView
from notifier.lookup.wait_explanation import Because, WaitCause
from notifier.smtp import enhanced_codes
from notifier.states import (
    CANCELLABLE_STATUSES,
    RETRYABLE_STATUSES,
    EntryState,
    KeyKind,
    Reason,
    Status,
)

JARGON = ("queue", "entry", "lease", "payload", "None", "{", "}", "invalid")


def test_every_status_with_every_reason_and_state_has_an_answer() -> None:
    """A sentence, a next step and no word of the machine; the actions are those that the machine allows."""
    for status, reason, entry in product(Status, (None, *Reason), (None, *EntryState)):
        view = build_view(status, reason, entry_state=entry)
        answer = build_answer(view, now=NOW)
        words = f"{answer.sentence} {answer.next_step}"
        assert answer.sentence.endswith((".", '"', "details")), words
        assert answer.next_step.endswith((".", "sender.")), words
        assert not [word for word in JARGON if word in words], words
        assert (AnswerAction.RETRY in answer.actions) == (status in RETRYABLE_STATUSES)
        assert (AnswerAction.CANCEL in answer.actions) == (status in CANCELLABLE_STATUSES)
        assert (AnswerAction.RESOLVE in answer.actions) == (status is Status.UNKNOWN)


def test_every_wait_has_words_and_every_row_is_used() -> None:
    """Each cause of a wait gives an answer, and no row of the table is left over."""
    used = set()
    views = [
        build_view(status, reason, entry_state=entry, send_at=send_at)
        for status, reason, entry, send_at in product(
            Status, (None, *Reason), (None, *EntryState), (NOW, NOW + timedelta(days=1))
        )
    ]
    causes = [[], *([WaitCause(code=code, detail="x")] for code in Because)]
    for view, cause in product(views, causes):
        used.add(build_answer(view, now=NOW, causes=cause).sentence)
    wanted = {row.sentence.partition("{")[0].partition(":")[0] for row in ANSWER_ROWS.values()}
    assert [words for words in wanted if words and not any(one.startswith(words) for one in used)] == []


@pytest.mark.parametrize(
    ("view", "kind", "sentence"),
    [
        (build_view(Status.SENT), AnswerKind.PROBABLY, "The mail server accepted it today at 15:02."),
        (
            build_view(Status.DEFERRED, Reason.TEMPORARY_REFUSAL, attempts=[build_attempt(450, "4.2.2")]),
            AnswerKind.NOT_YET,
            (
                "The mail server asked us to try again later: the mailbox is full."
                " Next try today at 15:20, until today at 19:02."
            ),
        ),
        (
            build_view(Status.QUEUED, send_at=NOW + timedelta(days=3), due_at=NOW + timedelta(days=3)),
            AnswerKind.NOT_YET,
            "It will be sent on Mon 7 Dec at 15:02.",
        ),
        (
            build_view(Status.FAILED, Reason.MESSAGE_REFUSED, detail="550 rejected"),
            AnswerKind.NO,
            'The mail server does not want this mail. It said: "550 rejected".',
        ),
        (
            build_view(Status.FAILED, Reason.RECIPIENT_REFUSED),
            AnswerKind.NO,
            "The mail server says that bob@example.com does not exist.",
        ),
        (
            build_view(Status.SUPPRESSED, Reason.RECIPIENT_SUPPRESSED, detail="the address is suppressed: bounced"),
            AnswerKind.NO,
            "bob@example.com must not be mailed: a mail came back.",
        ),
        (
            build_view(Status.UNKNOWN, Reason.NO_FINAL_REPLY, entry_state=EntryState.HELD),
            AnswerKind.NOBODY_KNOWS,
            (
                "The connection broke after we had handed the mail over. It may have arrived."
                " It waits for a decision until today at 19:02."
            ),
        ),
    ],
)
def test_the_sentence_names_facts_of_the_mail(view: NotificationView, kind: AnswerKind, sentence: str) -> None:
    """The sentence has the times in the reader's zone, the address, and the meaning of the reply."""
    answer = build_answer(view, now=NOW, zone=ZoneInfo("Europe/Amsterdam"))
    assert (answer.kind, answer.sentence) == (kind, sentence)


def test_mail_of_a_test_key_is_never_said_to_have_arrived() -> None:
    """A simulated delivery is no delivery."""
    for status in (Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED):
        answer = build_answer(build_view(status, kind=KeyKind.TEST), now=NOW)
        assert answer.kind is AnswerKind.NO
        assert "test key" in answer.sentence


def test_braces_of_a_server_are_only_text() -> None:
    """What a relay or a template says is not read as a field."""
    view = build_view(Status.FAILED, Reason.TEMPLATE, detail="{address.__class__} {nobody}")
    assert "{address.__class__} {nobody}" in build_answer(view, now=NOW).sentence


@pytest.mark.parametrize(
    ("code", "enhanced", "meaning"),
    [
        (550, "5.1.1", "this address does not exist"),
        (550, None, None),
        (421, None, "the server is busy, or closing"),
        (451, "4.7.1", "refused for now by a rule over there; a second try often gets through"),
        (550, "5.7.1", "refused by a rule over there"),
        (550, "5.7.26", "our domain's SPF or DKIM is not set up"),
        (552, "5.99.99", "the mail is too large, or the mailbox is full"),
        (250, "2.1.5", None),
        (None, None, None),
    ],
)
def test_a_reply_code_has_a_meaning_or_none(code: int | None, enhanced: str | None, meaning: str | None) -> None:
    """The status code counts first, then the reply code; a code that says nothing is not guessed."""
    assert enhanced_codes.get_meaning(code, enhanced) == meaning


def test_every_subject_of_the_standard_is_there() -> None:
    """RFC 3463 §3 lists these details; X.0.0 means nothing more than that it failed."""
    last = {1: 8, 2: 4, 3: 5, 4: 7, 5: 5, 6: 5, 7: 7}
    for subject, highest in last.items():
        for detail in range(1, highest + 1):
            if (subject, detail) != (1, 5):  # "valid": only in positive replies
                assert enhanced_codes.get_meaning(None, f"5.{subject}.{detail}"), (subject, detail)


def test_times_are_written_as_people_say_them() -> None:
    """By the day of the reader, not of UTC."""
    zone = ZoneInfo("Europe/Amsterdam")
    late = datetime(2026, 12, 4, 23, 30, tzinfo=UTC)
    assert describe_time(late, NOW, zone) == "tomorrow at 00:30"
    assert describe_time(late, NOW, UTC) == "today at 23:30 UTC"
    assert describe_time(datetime(2025, 5, 3, 8, 0, tzinfo=UTC), NOW, UTC) == "Sat 3 May 2025 at 08:00 UTC"
