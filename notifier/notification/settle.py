"""What the end of a try means: for the outbox entry, for the status, for the history and for the suppression list.

Deciding is pure; writing happens in the settler's transaction, for the entries whose fence held.
"""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from notifier import backoff, suppression
from notifier.db.direct import Connection
from notifier.ids import new_id
from notifier.notification import simulator
from notifier.notification.attempt import write as write_attempts
from notifier.notification.load import Delivery
from notifier.notification.move import Move, move
from notifier.notification.verdict import (
    Abandoned,
    Circumstances,
    Faulted,
    GivenBack,
    Paced,
    Stopped,
    Tried,
    Unwritable,
    Verdict,
)
from notifier.outbox.handler import Claimed, Finish, Hold, Release, Reschedule, Settlement
from notifier.outcomes import (
    Accepted,
    CircuitReason,
    Deferred,
    NotPermitted,
    NotTried,
    Outcome,
    OutcomeName,
    Phase,
    Refused,
    Rejected,
    Scope,
    Uncertain,
)
from notifier.states import WAITING, Cause, Reason, Status, SuppressionReason, WhenUncertain

MOST_FAULTS = 3
FAULT_DELAY = timedelta(minutes=1)
REDIRECTED = "said about the redirect address (NOTIFIER_RECIPIENTS__REDIRECT_TO), not about the recipient"
PACED = "mails of this version of its template took too long to make: the others are tried one by one, with pauses"
PACED_CONTENT = "mails of this service with content took long to make: the others are tried one by one, with pauses"
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


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What to write beside the entry."""

    move: Move | None = None
    cause: Cause = Cause.SENDER
    attempt: dict[str, object] | None = None
    suppress: tuple[str, str] | None = None  # recipient and the relay's words
    feedback: Status | None = None  # of a simulated mail: what is heard of it next


def decide(entry: Claimed, delivery: Delivery, verdict: Verdict, context: Circumstances) -> Settlement:  # noqa: PLR0911 - one return per verdict
    """The settlement of one claim."""
    match verdict:
        case GivenBack() | Tried(outcome=NotPermitted()):
            return Settlement(entry=entry, action=Release())
        case Stopped():
            step = _step(delivery, context, verdict.status, verdict.reason, verdict.detail)
            return Settlement(entry=entry, action=Finish(), record=Record(move=step))
        case Paced(wait=wait):
            return _paced(entry, delivery, wait, context)
        case Faulted():
            return _after_fault(entry, delivery, verdict, context)
        case Tried(outcome=NotTried() as outcome):
            return _not_tried(entry, delivery, outcome, context)
        case Tried():
            return _after_attempt(entry, delivery, verdict, context)
        case Abandoned():
            return _after_abandonment(entry, delivery, verdict, context)
        case Unwritable():
            detail = "how it ended cannot be written down: see the log of the sender"
            step = _step(delivery, context, Status.UNKNOWN, Reason.INTERNAL, detail)
            return Settlement(
                entry=entry, action=Hold(delay=delivery.expires_at - context.now), record=Record(move=step)
            )


def _paced(entry: Claimed, delivery: Delivery, wait: timedelta, context: Circumstances) -> Settlement:
    """Later, and each time it comes too early later still, so that thousands of them do not keep the queue busy.

    Why it waits is told once, and does not displace the words about a mail that may have been sent.
    """
    age = context.now - delivery.message_date
    delay = max(wait, age / 2) * (1 + context.spread)
    again = Reschedule(delay=delay, attempts=entry.attempts, faults=entry.faults, fault=entry.fault)
    if delivery.status is Status.UNKNOWN or delivery.reason is Reason.TEMPLATE:
        return Settlement(entry=entry, action=again)
    why = PACED if delivery.template_version_id else PACED_CONTENT
    step = _step(delivery, context, delivery.status, Reason.TEMPLATE, why)
    return Settlement(entry=entry, action=again, record=Record(move=step))


def _after_fault(entry: Claimed, delivery: Delivery, fault: Faulted, context: Circumstances) -> Settlement:
    """The same error three times in a row is not going to pass by itself."""
    faults = entry.faults + 1 if entry.fault == fault.fingerprint else 1
    if faults >= MOST_FAULTS:
        step = _step(delivery, context, Status.FAILED, Reason.INTERNAL, fault.detail)
        return Settlement(entry=entry, action=Finish(), record=Record(move=step))
    step = _step(delivery, context, Status.DEFERRED, Reason.INTERNAL, fault.detail)
    again = Reschedule(delay=FAULT_DELAY, attempts=entry.attempts, faults=faults, fault=fault.fingerprint)
    return Settlement(entry=entry, action=again, record=Record(move=step))


def _not_tried(entry: Claimed, delivery: Delivery, outcome: NotTried, context: Circumstances) -> Settlement:
    """No attempt is burnt. A relay out of reach moves nothing; a refused sender waits aside, so that others flow."""
    if outcome.scope is Scope.RELAY:
        return Settlement(entry=entry, action=Release())
    step = _step(delivery, context, delivery.status, Reason.SENDER_REFUSED, outcome.detail)
    again = Reschedule(delay=context.sender_wait, attempts=entry.attempts)
    return Settlement(entry=entry, action=again, record=Record(move=step))


def _after_attempt(entry: Claimed, delivery: Delivery, tried: Tried, context: Circumstances) -> Settlement:
    attempt = _attempt(entry, delivery, tried.outcome, is_redirected=_is_redirected(delivery, tried)) | {
        "relay": tried.relay,
        "started_at": tried.started_at,
        "duration_ms": round(tried.seconds * 1000),
        "sha256": tried.sha256,
    }
    match tried.outcome:
        case Accepted(reply=reply):
            step = _step(delivery, context, Status.SENT, None, str(reply))
            record = Record(move=step, attempt=attempt, feedback=simulator.feedback(delivery))
            return Settlement(entry=entry, action=Finish(), record=record, proof=True)
        case Rejected():
            return _rejected(entry, delivery, attempt, tried, context)
        case Uncertain(detail=detail):
            step = _step(delivery, context, Status.UNKNOWN, Reason.NO_FINAL_REPLY, detail)
            return _uncertain(entry, delivery, Record(move=step, attempt=attempt), context)
        case _:
            return _deferred(entry, delivery, attempt, tried, context)


def _rejected(
    entry: Claimed, delivery: Delivery, attempt: dict[str, object], tried: Tried, context: Circumstances
) -> Settlement:
    """Over. The recipient is suppressed for a fact about that very address, and for nothing else."""
    assert isinstance(tried.outcome, Rejected)
    refused, phase, words = tried.outcome.refused, tried.outcome.phase, _words(tried.outcome)
    suppress, reason = None, _REFUSED[refused]
    if _is_redirected(delivery, tried):
        words = f"{REDIRECTED}: {words}"
        reason = Reason.REDIRECT_REFUSED if phase is Phase.RCPT else reason
    elif refused is Refused.RECIPIENT and tried.envelope_to is not None and not simulator.simulates(delivery):
        suppress = (delivery.recipient, words)
    step = _step(delivery, context, Status.FAILED, reason, words)
    record = Record(move=step, cause=_cause(delivery), attempt=attempt, suppress=suppress)
    return Settlement(entry=entry, action=Finish(), record=record)


def _after_abandonment(entry: Claimed, delivery: Delivery, abandoned: Abandoned, context: Circumstances) -> Settlement:
    detail = "the sender died after it was permitted to hand over the mail, and left no reply"
    attempt = _attempt(entry, delivery, Uncertain(detail=detail)) | {"started_at": abandoned.marked_at}
    step = _step(delivery, context, Status.UNKNOWN, Reason.SENDER_DIED, detail)
    return _uncertain(entry, delivery, Record(move=step, attempt=attempt), context)


def _uncertain(entry: Claimed, delivery: Delivery, record: Record, context: Circumstances) -> Settlement:
    """Sent again once, if the template allows it; else kept for a person until it would be too late anyway."""
    remaining, attempts = delivery.expires_at - context.now, entry.attempts + 1
    action: Finish | Reschedule | Hold
    if remaining <= timedelta(0) or delivery.status not in WAITING:
        action = Finish()
    elif delivery.uncertain_at is None and delivery.when_uncertain is WhenUncertain.RESEND:
        action = Reschedule(delay=backoff.resend_delay(remaining, longest=context.resend_after), attempts=attempts)
    else:
        action = Hold(delay=remaining, attempts=attempts)
    return Settlement(entry=entry, action=action, record=record)


def _deferred(
    entry: Claimed, delivery: Delivery, attempt: dict[str, object], tried: Tried, context: Circumstances
) -> Settlement:
    """Due again by the schedule, or over if that would be after the expiry."""
    attempts, cause, outcome = entry.attempts + 1, _cause(delivery), tried.outcome
    words = f"{REDIRECTED}: {_words(outcome)}" if _is_redirected(delivery, tried) else _words(outcome)
    delay = backoff.delay_after(attempts, spread=context.spread)
    refuses_sender = isinstance(outcome, Deferred) and outcome.claim is CircuitReason.SENDER
    if context.now + delay >= delivery.expires_at:
        over = Reason.SENDER_REFUSED if refuses_sender else Reason.EXHAUSTED
        step = _step(delivery, context, Status.FAILED, over, words)
        return Settlement(entry=entry, action=Finish(), record=Record(move=step, cause=cause, attempt=attempt))
    lost = isinstance(outcome, Deferred) and outcome.reply is None
    reason = Reason.CONNECTION_LOST if lost else Reason.TEMPORARY_REFUSAL
    reason = Reason.SENDER_REFUSED if refuses_sender else reason
    step = _step(delivery, context, Status.DEFERRED, reason, words)
    again = Reschedule(delay=delay, attempts=attempts)
    return Settlement(entry=entry, action=again, record=Record(move=step, cause=cause, attempt=attempt))


def _cause(delivery: Delivery) -> Cause:
    """A definite no also ends an `unknown` that is about this very attempt; one about an earlier attempt stays."""
    return Cause.PROOF if delivery.uncertain_at is None else Cause.SENDER


def _step(delivery: Delivery, context: Circumstances, to: Status, reason: Reason | None, detail: str) -> Move:
    return Move(notification_id=delivery.id, to=to, at=context.now, reason=reason, detail=detail)


def _is_redirected(delivery: Delivery, tried: Tried) -> bool:
    """True if the relay was given another address, so that it said nothing about the recipient."""
    return tried.envelope_to not in (None, delivery.recipient)


def _words(outcome: Outcome) -> str:
    """The relay's words where it said something, with what we add to them, else ours."""
    reply, detail = getattr(outcome, "reply", None), str(getattr(outcome, "detail", ""))
    if reply is None:
        return detail
    return f"{reply} ({detail})" if detail else str(reply)


def _attempt(entry: Claimed, delivery: Delivery, outcome: Outcome, *, is_redirected: bool = False) -> dict[str, object]:
    """What is always known of a row of the attempt table."""
    reply = getattr(outcome, "reply", None)
    words = reply.text if reply else _words(outcome)
    if is_redirected and isinstance(outcome, Rejected | Deferred):
        words = f"{REDIRECTED}: {words}"
    return {
        "id": new_id(),
        "notification_id": delivery.id,
        "entry_id": entry.id,
        "lease_no": entry.lease_no,
        "number": entry.attempts + 1,
        "relay": None,
        "phase": getattr(outcome, "phase", Phase.BODY),
        "outcome": _NAMES[type(outcome)],
        "code": reply.code if reply else None,
        "enhanced_code": reply.enhanced if reply else None,
        "reply": words[:1000],
        "duration_ms": None,
        "sha256": None,
    }


async def write(connection: Connection, settled: Sequence[Settlement]) -> None:
    """Write the records of these settlements, in the settler's transaction."""
    records = [s.record for s in settled if isinstance(s.record, Record)]
    for cause in (Cause.SENDER, Cause.PROOF):
        await move(connection, [r.move for r in records if r.move and r.cause is cause], cause)
    if heard := [_heard(r.move, r.feedback) for r in records if r.move and r.feedback]:
        await move(connection, heard, Cause.FEEDBACK)
    if attempts := [r.attempt for r in records if r.attempt]:
        await write_attempts(connection, attempts)
    for record in records:
        if record.suppress and record.move:
            recipient, words = record.suppress
            await suppression.suppress(
                connection, recipient, reason=SuppressionReason.RECIPIENT_REFUSED, detail=words, now=record.move.at
            )


def _heard(step: Move, status: Status) -> Move:
    """What follows from a step of a simulated mail."""
    return msgspec.structs.replace(step, to=status, detail=f"simulated: {status}")
