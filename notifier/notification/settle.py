"""Decide what the result of a claim means: for the outbox entry, the status, the attempt and the suppression list.

Deciding is pure. Writing happens in the settler's transaction, for the entries whose fence still holds.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

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
    suppress: tuple[str, str] | None = None  # recipient, and the relay's reply
    feedback: Status | None = None  # of a simulated mail: the status that follows


class _Case(msgspec.Struct, frozen=True, gc=False):
    """One claim to decide about."""

    entry: Claimed
    delivery: Delivery
    context: Circumstances

    def settle(self, action: Finish | Reschedule | Hold, move: Move, **record: Any) -> Settlement:
        return Settlement(entry=self.entry, action=action, record=Record(move=move, **record))

    def change(self, status: Status, reason: Reason | None, detail: str) -> Move:
        now = self.context.now
        return Move(notification_id=self.delivery.id, to=status, at=now, reason=reason, detail=detail)

    def reschedule(self, delay: timedelta, **counters: Any) -> Reschedule:
        return Reschedule(delay=delay, **{"attempts": self.entry.attempts} | counters)


def decide(entry: Claimed, delivery: Delivery, result: Verdict, context: Circumstances) -> Settlement:  # noqa: PLR0911 - one return per result
    """Decide what the result of a claim means for its entry and its notification."""
    case = _Case(entry, delivery, context)
    match result:
        case GivenBack() | Tried(outcome=NotPermitted()):
            return Settlement(entry=entry, action=Release())
        case Stopped():
            return case.settle(Finish(), case.change(result.status, result.reason, result.detail))
        case Paced(wait=wait):
            return _settle_throttled(case, wait)
        case Faulted():
            return _settle_fault(case, result)
        case Tried(outcome=NotTried() as outcome):
            return _settle_not_tried(case, outcome)
        case Tried():
            return _settle_attempt(case, result)
        case Abandoned():
            return _settle_lost(case, result)
        case Unwritable():
            detail = "how it ended cannot be written down: see the log of the sender"
            hold = Hold(delay=delivery.expires_at - context.now)
            return case.settle(hold, case.change(Status.UNKNOWN, Reason.INTERNAL, detail))


def _settle_throttled(case: _Case, wait: timedelta) -> Settlement:
    """Back off; at least half the mail's age, so that a long queue of slow mails does not keep the sender busy.

    Why it waits is written once, and never replaces the detail of a mail that may have been sent.
    """
    entry, delivery, context = case.entry, case.delivery, case.context
    delay = max(wait, (context.now - delivery.message_date) / 2) * (1 + context.spread)
    again = case.reschedule(delay, faults=entry.faults, fault=entry.fault)
    if delivery.status is Status.UNKNOWN or delivery.reason is Reason.TEMPLATE:
        return Settlement(entry=entry, action=again)
    detail = PACED if delivery.template_version_id else PACED_CONTENT
    return case.settle(again, case.change(delivery.status, Reason.TEMPLATE, detail))


def _settle_fault(case: _Case, fault: Faulted) -> Settlement:
    """Fail the notification when the same error has come three times in a row."""
    faults = case.entry.faults + 1 if case.entry.fault == fault.fingerprint else 1
    if faults >= MOST_FAULTS:
        return case.settle(Finish(), case.change(Status.FAILED, Reason.INTERNAL, fault.detail))
    again = case.reschedule(FAULT_DELAY, faults=faults, fault=fault.fingerprint)
    return case.settle(again, case.change(Status.DEFERRED, Reason.INTERNAL, fault.detail))


def _settle_not_tried(case: _Case, outcome: NotTried) -> Settlement:
    """No attempt counts. Nothing changes if the relay is out of reach; mail of a refused sender waits for its probe."""
    if outcome.scope is Scope.RELAY:
        return Settlement(entry=case.entry, action=Release())
    change = case.change(case.delivery.status, Reason.SENDER_REFUSED, outcome.detail)
    return case.settle(case.reschedule(case.context.sender_wait), change)


def _settle_attempt(case: _Case, tried: Tried) -> Settlement:
    delivery = case.delivery
    attempt = _attempt(case, tried.outcome, is_redirected=_is_redirected(delivery, tried)) | {
        "relay": tried.relay,
        "started_at": tried.started_at,
        "duration_ms": round(tried.seconds * 1000),
        "sha256": tried.sha256,
    }
    match tried.outcome:
        case Accepted(reply=reply):
            record = Record(
                move=case.change(Status.SENT, None, str(reply)), attempt=attempt, feedback=simulator.feedback(delivery)
            )
            return Settlement(entry=case.entry, action=Finish(), record=record, proof=True)
        case Rejected() as outcome:
            return _settle_rejected(case, attempt, tried, outcome)
        case Uncertain(detail=detail):
            return _settle_uncertain(case, attempt, case.change(Status.UNKNOWN, Reason.NO_FINAL_REPLY, detail))
        case _:
            return _settle_deferred(case, attempt, tried)


def _settle_rejected(case: _Case, attempt: dict[str, object], tried: Tried, outcome: Rejected) -> Settlement:
    """Fail. The recipient is suppressed only if the relay refused this very address."""
    delivery, detail = case.delivery, _words(outcome)
    suppress, reason = None, _REFUSED[outcome.refused]
    if _is_redirected(delivery, tried):
        detail = f"{REDIRECTED}: {detail}"
        reason = Reason.REDIRECT_REFUSED if outcome.phase is Phase.RCPT else reason
    elif outcome.refused is Refused.RECIPIENT and tried.envelope_to is not None and not simulator.simulates(delivery):
        suppress = (delivery.recipient, detail)
    change = case.change(Status.FAILED, reason, detail)
    return case.settle(Finish(), change, cause=_cause(delivery), attempt=attempt, suppress=suppress)


def _settle_lost(case: _Case, lost: Abandoned) -> Settlement:
    detail = "the sender died after it was permitted to hand over the mail, and left no reply"
    attempt = _attempt(case, Uncertain(detail=detail)) | {"started_at": lost.marked_at}
    return _settle_uncertain(case, attempt, case.change(Status.UNKNOWN, Reason.SENDER_DIED, detail))


def _settle_uncertain(case: _Case, attempt: dict[str, object], change: Move) -> Settlement:
    """Send it once more if the template allows that; else hold it for a person until it expires."""
    delivery, context, attempts = case.delivery, case.context, case.entry.attempts + 1
    remaining = delivery.expires_at - context.now
    action: Finish | Reschedule | Hold
    if remaining <= timedelta(0) or delivery.status not in WAITING:
        action = Finish()
    elif delivery.uncertain_at is None and delivery.when_uncertain is WhenUncertain.RESEND:
        delay = backoff.resend_delay(remaining, longest=context.resend_after)
        action = Reschedule(delay=delay, attempts=attempts)
    else:
        action = Hold(delay=remaining, attempts=attempts)
    return case.settle(action, change, attempt=attempt)


def _settle_deferred(case: _Case, attempt: dict[str, object], tried: Tried) -> Settlement:
    """Try again by the back-off schedule; fail if that would be after the expiry."""
    delivery, context, outcome = case.delivery, case.context, tried.outcome
    attempts, cause = case.entry.attempts + 1, _cause(delivery)
    detail = f"{REDIRECTED}: {_words(outcome)}" if _is_redirected(delivery, tried) else _words(outcome)
    delay = backoff.delay_after(attempts, spread=context.spread)
    is_over = context.now + delay >= delivery.expires_at
    if isinstance(outcome, Deferred) and outcome.claim is CircuitReason.SENDER:
        reason = Reason.SENDER_REFUSED
    elif is_over:
        reason = Reason.EXHAUSTED
    else:
        is_lost = isinstance(outcome, Deferred) and outcome.reply is None
        reason = Reason.CONNECTION_LOST if is_lost else Reason.TEMPORARY_REFUSAL
    action = Finish() if is_over else Reschedule(delay=delay, attempts=attempts)
    change = case.change(Status.FAILED if is_over else Status.DEFERRED, reason, detail)
    return case.settle(action, change, cause=cause, attempt=attempt)


def _cause(delivery: Delivery) -> Cause:
    """A definite no also ends an `unknown` that is about this very attempt; one about an earlier attempt stays."""
    return Cause.PROOF if delivery.uncertain_at is None else Cause.SENDER


def _is_redirected(delivery: Delivery, tried: Tried) -> bool:
    """True if the relay was given another address, so that it said nothing about the recipient."""
    return tried.envelope_to not in (None, delivery.recipient)


def _words(outcome: Outcome) -> str:
    """The relay's reply, if there was one, with what we add to it; else our own text."""
    reply, detail = getattr(outcome, "reply", None), str(getattr(outcome, "detail", ""))
    if reply is None:
        return detail
    return f"{reply} ({detail})" if detail else str(reply)


def _attempt(case: _Case, outcome: Outcome, *, is_redirected: bool = False) -> dict[str, object]:
    """The columns of the attempt that are always known."""
    entry = case.entry
    reply = getattr(outcome, "reply", None)
    words = reply.text if reply else _words(outcome)
    if is_redirected and isinstance(outcome, Rejected | Deferred):
        words = f"{REDIRECTED}: {words}"
    return {
        "id": new_id(),
        "notification_id": case.delivery.id,
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
    records = [settlement.record for settlement in settled if isinstance(settlement.record, Record)]
    for cause in (Cause.SENDER, Cause.PROOF):
        await move(connection, [r.move for r in records if r.move and r.cause is cause], cause)
    if feedback := [_simulated(r.move, r.feedback) for r in records if r.move and r.feedback]:
        await move(connection, feedback, Cause.FEEDBACK)
    if attempts := [record.attempt for record in records if record.attempt]:
        await write_attempts(connection, attempts)
    for record in records:
        if record.suppress and record.move:
            recipient, detail = record.suppress
            await suppression.suppress(
                connection, recipient, reason=SuppressionReason.RECIPIENT_REFUSED, detail=detail, now=record.move.at
            )


def _simulated(change: Move, status: Status) -> Move:
    """What follows when a simulated mail was sent."""
    return msgspec.structs.replace(change, to=status, detail=f"simulated: {status}")
