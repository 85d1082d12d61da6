"""The oracle finds each kind of fault in otherwise correct evidence."""

from dataclasses import replace
from datetime import UTC, datetime

from chaos import oracle
from chaos.oracle import Entry, Evidence, Row
from chaos.relay_log import Event, Name, parsed

from notifier.states import EntryState, Status

ADA, BOB = "ada@example.com", "bob@example.com"


def at(second: float) -> datetime:
    return datetime.fromtimestamp(second, tz=UTC)


def taken(recipient: str, second: float, *, sha256: str = "aa", reply: str = "250") -> Event:
    return Event(
        name=Name.TAKEN,
        wall=second,
        monotonic=second,
        helo="one.example",
        connection=1,
        recipient=recipient,
        message_id=f"<{recipient}>",
        reply=reply,
        sha256=sha256,
    )


def row(recipient: str, status: Status = Status.SENT) -> Row:
    return Row(id=recipient, recipient=recipient, message_id=f"<{recipient}>", status=status)


RIGHT = Evidence(acknowledged={ADA: ADA, BOB: BOB}, events=[taken(ADA, 10), taken(BOB, 11)], rows=[row(ADA), row(BOB)])


def faults(evidence: Evidence) -> dict[str, list[str]]:
    return oracle.judge(evidence).faults


def test_all_is_well_when_each_mail_was_taken_once() -> None:
    """Two mails with two sent rows give no fault and the right counts."""
    report = oracle.judge(RIGHT)
    assert report.faults == {}
    assert (report.submitted, report.sent, report.unknown_ever, report.flagged) == (2, 2, [], [])


def test_a_silent_duplicate_is_seen() -> None:
    """A mail received twice that was never `unknown` is a silent duplicate."""
    assert faults(replace(RIGHT, events=[*RIGHT.events, taken(ADA, 12)])) == {"unflagged": [ADA]}


def test_a_duplicate_that_was_unknown_first_is_allowed_and_counted() -> None:
    """A mail received twice that was `unknown` in between is a flagged duplicate."""
    rows = [replace(row(ADA), uncertain_at=at(11)), row(BOB)]
    report = oracle.judge(replace(RIGHT, events=[*RIGHT.events, taken(ADA, 12)], rows=rows))
    assert (report.faults, report.flagged, report.unknown_ever) == ({}, [ADA], [ADA])


def test_a_duplicate_that_was_called_unknown_too_late_is_silent() -> None:
    """A mail that became `unknown` only after the second receipt is a silent duplicate."""
    rows = [replace(row(ADA), uncertain_at=at(13)), row(BOB)]
    assert faults(replace(RIGHT, events=[*RIGHT.events, taken(ADA, 12)], rows=rows)) == {"unflagged": [ADA]}


def test_a_mail_that_was_unknown_twice_counts_from_the_first_time() -> None:
    """The attempt that ended Uncertain counts, because a later one may have changed `uncertain_at`."""
    rows = [replace(row(ADA), uncertain_at=at(13), first_doubt=at(9)), row(BOB)]
    assert faults(replace(RIGHT, events=[*RIGHT.events, taken(ADA, 12)], rows=rows)) == {}


def test_an_acknowledged_mail_without_a_row_is_lost() -> None:
    """A mail with a 202 and no row is lost."""
    assert faults(replace(RIGHT, rows=[row(ADA)])) == {"lost": [BOB], "strange": [BOB]}


def test_a_mail_that_is_sent_and_was_never_taken_is_lost() -> None:
    """A mail with status `sent` that the relay never received is lost."""
    assert faults(replace(RIGHT, events=[taken(ADA, 10)])) == {"lost": [BOB]}


def test_a_mail_that_waits_without_an_entry_is_lost() -> None:
    """A queued, deferred or unknown mail without an entry is lost."""
    for status in (Status.QUEUED, Status.DEFERRED, Status.UNKNOWN):
        assert faults(replace(RIGHT, rows=[row(ADA), row(BOB, status)])) == {"lost": [BOB]}


def test_an_entry_that_is_left_is_stuck() -> None:
    """A ready or leased entry at the end is stuck, whatever its notification's status."""
    for state in (EntryState.READY, EntryState.LEASED, EntryState.HELD):
        faults_found = faults(replace(RIGHT, entries=[Entry(subject_id=BOB, state=state)]))
        assert faults_found == {"stuck": [f"{BOB} ({state}, sent)"]}


def test_an_unknown_mail_that_is_held_for_a_person_is_not_stuck() -> None:
    """A mail that was unknown twice is held, and the report counts it."""
    rows = [row(ADA), replace(row(BOB, Status.UNKNOWN), uncertain_at=at(12))]
    report = oracle.judge(replace(RIGHT, rows=rows, entries=[Entry(subject_id=BOB, state=EntryState.HELD)]))
    assert (report.faults, report.unknown_now) == ({}, [BOB])


def test_a_mail_that_failed_although_the_relay_said_yes_is_wrong() -> None:
    """A failed mail with a 250 is wrong; one that was dropped without a reply may fail."""
    rows = [row(ADA), row(BOB, Status.FAILED)]
    assert faults(replace(RIGHT, rows=rows)) == {"wrong": [BOB]}
    assert faults(replace(RIGHT, rows=rows, events=[taken(ADA, 10), taken(BOB, 11, reply="none")])) == {}


def test_a_cancelled_mail_that_was_taken_is_wrong() -> None:
    """A cancelled mail must not be received, and must have the status `cancelled`."""
    rows = [row(ADA), row(BOB, Status.CANCELLED)]
    assert faults(replace(RIGHT, rows=rows)) == {"wrong": [BOB]}
    assert faults(replace(RIGHT, rows=rows, events=[taken(ADA, 10)], cancelled={BOB})) == {}
    assert faults(replace(RIGHT, cancelled={BOB})) == {"wrong": [BOB]}


def test_an_innocent_called_poison_is_seen() -> None:
    """No mail of these tests kills a process, so a mail failed as poison is a fault."""
    rows = [row(ADA), replace(row(BOB, Status.FAILED), reason="poison")]
    assert faults(replace(RIGHT, rows=rows, events=[taken(ADA, 10)])) == {"poisoned": [BOB]}


def test_two_rows_for_one_key_are_seen() -> None:
    """Each recipient has one idempotency key, so two rows mean that the key was not respected."""
    second = replace(row(ADA), id="another", message_id="<another>")
    events = [*RIGHT.events, replace(taken(ADA, 12), message_id="<another>")]
    assert faults(replace(RIGHT, rows=[*RIGHT.rows, second], events=events)) == {"doubled": [ADA]}


def test_a_mail_that_nobody_submitted_is_strange() -> None:
    """A received mail whose Message-ID has no row is a fault."""
    assert faults(replace(RIGHT, events=[*RIGHT.events, taken("eve@example.com", 12)])) == {
        "strange": ["eve@example.com"]
    }


def test_attempts_with_different_bytes_are_seen() -> None:
    """Different bytes between two attempts, or between relay and database, are a fault."""
    refused = replace(taken(ADA, 9, sha256="bb"), name=Name.REFUSED)
    assert faults(replace(RIGHT, events=[refused, *RIGHT.events])) == {"altered": [ADA]}
    rows = [row(ADA), replace(row(BOB), digests=frozenset({"cc"}))]
    assert faults(replace(RIGHT, rows=rows)) == {"altered": [BOB]}


def test_an_event_survives_the_log() -> None:
    """An event that is written to the log is read back unchanged."""
    event = taken(ADA, 10.5)
    assert parsed(event.line().decode().rstrip("\n")) == event


def test_the_report_names_the_mails_behind_a_fault() -> None:
    """The table names the faulty mails and marks the counts that must be zero."""
    report = oracle.judge(replace(RIGHT, events=[*RIGHT.events, taken(ADA, 12)]))
    assert f"1  (must be 0)  {ADA}" in report.table("a story", seed=7)
    assert "seed: 7" in report.table("a story", seed=7)
