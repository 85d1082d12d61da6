"""What the end of a try means: for the outbox entry, for the status, for the history and for the suppression list.

Deciding is pure; writing happens in the settler's transaction, for the entries whose fence held.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import backoff, suppression
from notifier.db.tables import Attempt
from notifier.ids import new_id
from notifier.notification.load import Delivery
from notifier.notification.move import Move, move
from notifier.outbox.handler import Claimed, Finish, Release, Reschedule, Settlement
from notifier.outcomes import (
    Accepted,
    Deferred,
    NotTried,
    Outcome,
    OutcomeName,
    Phase,
    Refused,
    Rejected,
    Scope,
    Uncertain,
)
from notifier.states import Cause, Reason, Status

MOST_FAULTS = 3
FAULT_DELAY = timedelta(minutes=1)
_NAMES = {
    Accepted: OutcomeName.ACCEPTED,
    Deferred: OutcomeName.DEFERRED,
    Rejected: OutcomeName.REJECTED,
    Uncertain: OutcomeName.UNCERTAIN,
}
_REFUSED = {
    Refused.RECIPIENT: Reason.RECIPIENT_REFUSED,
    Refused.MESSAGE: Reason.MESSAGE_REFUSED,
    Refused.SIZE: Reason.MESSAGE_TOO_LARGE,
}


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A relay was asked; how it went."""

    outcome: Outcome
    relay: str
    started_at: datetime
    seconds: float
    sha256: bytes


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The notification ends without asking a relay."""

    status: Status
    reason: Reason
    detail: str


@dataclass(frozen=True, kw_only=True)
class GivenBack:
    """Not begun: a stop, a closed circuit or a short lease came first."""


@dataclass(frozen=True, kw_only=True)
class Faulted:
    """Our own code raised."""

    fingerprint: str  # the same for the same error at the same place
    detail: str


Verdict = Tried | Stopped | GivenBack | Faulted


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What deciding needs besides the verdict."""

    now: datetime
    spread: float  # in [0, 1]: where in the jitter the next try falls
    resend_after: timedelta  # longest wait before an uncertain mail is sent once more
    sender_wait: timedelta  # until the relay is asked again about this sender's domain


@dataclass(frozen=True, kw_only=True)
class Record:
    """What to write beside the entry."""

    move: Move | None = None
    attempt: dict[str, object] | None = None
    suppress: tuple[str, str] | None = None  # recipient and the relay's words


def decide(entry: Claimed, delivery: Delivery, verdict: Verdict, given: Circumstances) -> Settlement:
    """The settlement of one claim."""
    match verdict:
        case GivenBack():
            return Settlement(entry=entry, action=Release())
        case Stopped():
            step = _step(delivery, given, verdict.status, verdict.reason, verdict.detail)
            return Settlement(entry=entry, action=Finish(), record=Record(move=step))
        case Faulted():
            return _after_fault(entry, delivery, verdict, given)
        case Tried(outcome=NotTried() as outcome):
            return _not_tried(entry, delivery, outcome, given)
        case Tried():
            return _after_attempt(entry, delivery, verdict, given)


def _after_fault(entry: Claimed, delivery: Delivery, fault: Faulted, given: Circumstances) -> Settlement:
    """The same error three times in a row is not going to pass by itself."""
    faults = entry.faults + 1 if entry.fault == fault.fingerprint else 1
    if faults >= MOST_FAULTS:
        step = _step(delivery, given, Status.FAILED, Reason.INTERNAL, fault.detail)
        return Settlement(entry=entry, action=Finish(), record=Record(move=step))
    step = _step(delivery, given, Status.DEFERRED, Reason.INTERNAL, fault.detail)
    again = Reschedule(delay=FAULT_DELAY, attempts=entry.attempts, faults=faults, fault=fault.fingerprint)
    return Settlement(entry=entry, action=again, record=Record(move=step))


def _not_tried(entry: Claimed, delivery: Delivery, outcome: NotTried, given: Circumstances) -> Settlement:
    """No attempt is burnt. A relay out of reach moves nothing; a refused sender waits aside, so that others flow."""
    if outcome.scope is Scope.RELAY:
        return Settlement(entry=entry, action=Release())
    step = _step(delivery, given, delivery.status, Reason.SENDER_REFUSED, outcome.detail)
    again = Reschedule(delay=given.sender_wait, attempts=entry.attempts)
    return Settlement(entry=entry, action=again, record=Record(move=step))


def _after_attempt(entry: Claimed, delivery: Delivery, tried: Tried, given: Circumstances) -> Settlement:
    attempt = _attempt(entry, delivery, tried)
    attempts = entry.attempts + 1
    match tried.outcome:
        case Accepted(reply=reply):
            step = _step(delivery, given, Status.SENT, None, str(reply))
            return Settlement(entry=entry, action=Finish(), record=Record(move=step, attempt=attempt))
        case Rejected(refused=refused) as outcome:
            step = _step(delivery, given, Status.FAILED, _REFUSED[refused], _words(outcome))
            suppress = (delivery.recipient, _words(outcome)) if refused is Refused.RECIPIENT else None
            return Settlement(
                entry=entry, action=Finish(), record=Record(move=step, attempt=attempt, suppress=suppress)
            )
        case Uncertain(detail=detail):
            step = _step(delivery, given, Status.UNKNOWN, Reason.NO_FINAL_REPLY, detail)
            wait = backoff.resend_delay(delivery.expires_at - given.now, longest=given.resend_after)
            over = delivery.uncertain_at is not None or wait <= timedelta(0)
            action = Finish() if over else Reschedule(delay=wait, attempts=attempts)
            return Settlement(entry=entry, action=action, record=Record(move=step, attempt=attempt))
        case outcome:
            return _deferred(entry, delivery, Record(attempt=attempt), outcome, given)


def _deferred(entry: Claimed, delivery: Delivery, record: Record, outcome: Outcome, given: Circumstances) -> Settlement:
    """Due again by the schedule, or over if that would be after the expiry."""
    attempts = entry.attempts + 1
    delay = backoff.delay_after(attempts, spread=given.spread)
    lost = isinstance(outcome, Deferred) and outcome.reply is None
    if given.now + delay >= delivery.expires_at:
        step = _step(delivery, given, Status.FAILED, Reason.EXHAUSTED, _words(outcome))
        return Settlement(entry=entry, action=Finish(), record=Record(move=step, attempt=record.attempt))
    reason = Reason.CONNECTION_LOST if lost else Reason.TEMPORARY_REFUSAL
    step = _step(delivery, given, Status.DEFERRED, reason, _words(outcome))
    return Settlement(
        entry=entry,
        action=Reschedule(delay=delay, attempts=attempts),
        record=Record(move=step, attempt=record.attempt),
    )


def _step(delivery: Delivery, given: Circumstances, to: Status, reason: Reason | None, detail: str) -> Move:
    return Move(notification_id=delivery.id, to=to, at=given.now, reason=reason, detail=detail)


def _words(outcome: Outcome) -> str:
    """The relay's words where it said something, else ours."""
    reply = getattr(outcome, "reply", None)
    return str(reply) if reply is not None else str(getattr(outcome, "detail", ""))


def _attempt(entry: Claimed, delivery: Delivery, tried: Tried) -> dict[str, object]:
    """The row of the attempt table."""
    outcome = tried.outcome
    reply = getattr(outcome, "reply", None)
    return {
        "id": new_id(),
        "notification_id": delivery.id,
        "entry_id": entry.id,
        "lease_no": entry.lease_no,
        "number": entry.attempts + 1,
        "relay": tried.relay,
        "phase": getattr(outcome, "phase", Phase.BODY),
        "outcome": _NAMES[type(outcome)],
        "code": reply.code if reply else None,
        "enhanced_code": reply.enhanced if reply else None,
        "reply": (reply.text if reply else _words(outcome))[:1000],
        "started_at": tried.started_at,
        "duration_ms": round(tried.seconds * 1000),
        "sha256": tried.sha256,
    }


async def write(connection: AsyncConnection, settled: Sequence[Settlement]) -> None:
    """Write the records of these settlements, in the settler's transaction."""
    records = [s.record for s in settled if isinstance(s.record, Record)]
    await move(connection, [r.move for r in records if r.move], Cause.SENDER)
    if attempts := [r.attempt for r in records if r.attempt]:
        await connection.execute(insert(Attempt), attempts)
    for record in records:
        if record.suppress and record.move:
            recipient, words = record.suppress
            await suppression.suppress(
                connection, recipient, reason=Reason.RECIPIENT_REFUSED, detail=words, now=record.move.at
            )
