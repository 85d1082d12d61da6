"""Decide what the result of a claim means: for the outbox entry, the status, the attempt and the suppression list.

Deciding is pure. Writing happens in the settler's transaction, for the entries whose fence still holds.
"""

from datetime import timedelta
from typing import Any

import msgspec

from notifier import backoff
from notifier.delivery import simulator
from notifier.delivery.delivery_loader import Delivery
from notifier.delivery.delivery_result import (
    BatchPaused,
    CodeFault,
    DeliveryResult,
    EarlyStop,
    LostAttempt,
    NotBegun,
    RelayAttempt,
    SettlementContext,
    Throttled,
    UnwritableResult,
)
from notifier.ids import generate_id
from notifier.outbox.entry_handler import (
    ClaimedEntry,
    FinishEntry,
    HoldEntry,
    ReleaseEntry,
    RescheduleEntry,
    Settlement,
)
from notifier.outcomes import (
    Accepted,
    CircuitReason,
    Deferred,
    NotPermitted,
    NotTried,
    OutageScope,
    Outcome,
    OutcomeName,
    RefusalKind,
    Rejected,
    SmtpPhase,
    Uncertain,
)
from notifier.states import WAITING_STATUSES, Reason, Status, TransitionCause, WhenUncertain
from notifier.status import batch_pause
from notifier.status.status_writer import StatusChange
from notifier.template_language.secret_erasure import mask_variables

MAX_FAULTS = 3
FAULT_DELAY = timedelta(minutes=1)
REDIRECTED_TEXT = "said about the redirect address (NOTIFIER_RECIPIENTS__REDIRECT_TO), not about the recipient"
THROTTLED_TEMPLATE_TEXT = (
    "mails of this version of its template took too long to make: the others are tried one by one, with pauses"
)
THROTTLED_CONTENT_TEXT = (
    "mails of this service with content took long to make: the others are tried one by one, with pauses"
)
_NAMES = {
    Accepted: OutcomeName.ACCEPTED,
    Deferred: OutcomeName.DEFERRED,
    Rejected: OutcomeName.REJECTED,
    Uncertain: OutcomeName.UNCERTAIN,
}
_REFUSED = {
    RefusalKind.RECIPIENT: Reason.RECIPIENT_REFUSED,
    RefusalKind.MESSAGE: Reason.MESSAGE_REFUSED,
    RefusalKind.SIZE: Reason.MESSAGE_TOO_LARGE,
}


class DeliveryRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What to write beside the entry."""

    status_change: StatusChange | None = None
    cause: TransitionCause = TransitionCause.SENDER
    attempt: dict[str, object] | None = None
    suppression: tuple[str, str] | None = None  # recipient, and the relay's reply
    feedback: Status | None = None  # of a simulated mail: the status that follows
    masked: str | None = None  # of a mail that has left: its variables as JSON, without the secret values


class _Case(msgspec.Struct, frozen=True, gc=False):
    """One claim to decide about."""

    entry: ClaimedEntry
    delivery: Delivery
    context: SettlementContext

    def settle(
        self, action: FinishEntry | RescheduleEntry | HoldEntry, move: StatusChange, **record: Any
    ) -> Settlement:
        return Settlement(entry=self.entry, action=action, record=DeliveryRecord(status_change=move, **record))

    def change(self, status: Status, reason: Reason | None, detail: str) -> StatusChange:
        now = self.context.now
        return StatusChange(notification_id=self.delivery.id, to=status, at=now, reason=reason, detail=detail)

    def reschedule(self, delay: timedelta, **counters: Any) -> RescheduleEntry:
        return RescheduleEntry(delay=delay, **{"attempts": self.entry.attempts} | counters)


def decide_settlement(  # noqa: PLR0911 - one return per result
    entry: ClaimedEntry, delivery: Delivery, result: DeliveryResult, context: SettlementContext
) -> Settlement:
    """Decide what the result of a claim means for its entry and its notification."""
    case = _Case(entry, delivery, context)
    match result:
        case NotBegun() | RelayAttempt(outcome=NotPermitted()):
            return Settlement(entry=entry, action=ReleaseEntry())
        case EarlyStop():
            return case.settle(FinishEntry(), case.change(result.status, result.reason, result.detail))
        case Throttled(wait=wait):
            return _settle_throttled(case, wait)
        case BatchPaused():
            return Settlement(entry=entry, action=_build_pause(case))
        case CodeFault():
            return _settle_fault(case, result)
        case RelayAttempt(outcome=NotTried() as outcome):
            return _settle_not_tried(case, outcome)
        case RelayAttempt():
            return _settle_attempt(case, result)
        case LostAttempt():
            return _settle_lost(case, result)
        case UnwritableResult():
            detail = "how it ended cannot be written down: see the log of the sender"
            hold = HoldEntry(delay=delivery.expires_at - context.now)
            return case.settle(hold, case.change(Status.UNKNOWN, Reason.INTERNAL, detail))


def _build_pause(case: _Case) -> RescheduleEntry:
    """Put the entry off without a trace in the notification; a resume makes it due again."""
    delay = min(batch_pause.MAX_PAUSE_DELAY, case.delivery.expires_at - case.context.now)
    return case.reschedule(delay, faults=case.entry.faults, fault=batch_pause.PAUSED_FAULT)


def _settle_throttled(case: _Case, wait: timedelta) -> Settlement:
    """Back off; at least half the mail's age, so that a long queue of slow mails does not keep the sender busy.

    The reason for the wait is written once. It never replaces the detail of a mail that may have been sent.
    """
    entry, delivery, context = case.entry, case.delivery, case.context
    delay = max(wait, (context.now - delivery.message_date) / 2) * (1 + context.jitter)
    again = case.reschedule(delay, faults=entry.faults, fault=entry.fault)
    if delivery.status is Status.UNKNOWN or delivery.reason is Reason.TEMPLATE:
        return Settlement(entry=entry, action=again)
    detail = THROTTLED_TEMPLATE_TEXT if delivery.template_version_id else THROTTLED_CONTENT_TEXT
    return case.settle(again, case.change(delivery.status, Reason.TEMPLATE, detail))


def _settle_fault(case: _Case, fault: CodeFault) -> Settlement:
    """Fail the notification when the same error has come three times in a row."""
    faults = case.entry.faults + 1 if case.entry.fault == fault.fingerprint else 1
    if faults >= MAX_FAULTS:
        return case.settle(FinishEntry(), case.change(Status.FAILED, Reason.INTERNAL, fault.detail))
    again = case.reschedule(FAULT_DELAY, faults=faults, fault=fault.fingerprint)
    return case.settle(again, case.change(Status.DEFERRED, Reason.INTERNAL, fault.detail))


def _settle_not_tried(case: _Case, outcome: NotTried) -> Settlement:
    """Count no attempt. If the relay is out of reach nothing changes; mail of a refused sender waits for its probe."""
    if outcome.scope is OutageScope.RELAY:
        return Settlement(entry=case.entry, action=ReleaseEntry())
    change = case.change(case.delivery.status, Reason.SENDER_REFUSED, outcome.detail)
    return case.settle(case.reschedule(case.context.sender_wait), change)


def _settle_attempt(case: _Case, result: RelayAttempt) -> Settlement:
    delivery = case.delivery
    attempt_row = _build_attempt(case, result.outcome, is_redirected=_is_redirected(delivery, result)) | {
        "relay": result.relay,
        "started_at": result.started_at,
        "duration_ms": round(result.seconds * 1000),
        "sha256": result.sha256,
    }
    match result.outcome:
        case Accepted(reply=reply):
            record = DeliveryRecord(
                status_change=case.change(Status.SENT, None, str(reply)),
                attempt=attempt_row,
                feedback=simulator.get_feedback(delivery) if delivery.is_simulated else None,
                masked=mask_variables(case.context.erasure, delivery.variables),
            )
            return Settlement(entry=case.entry, action=FinishEntry(), record=record, proof=True)
        case Rejected() as outcome:
            return _settle_rejected(case, attempt_row, result, outcome)
        case Uncertain(detail=detail):
            return _settle_uncertain(case, attempt_row, case.change(Status.UNKNOWN, Reason.NO_FINAL_REPLY, detail))
        case _:
            return _settle_deferred(case, attempt_row, result)


def _settle_rejected(
    case: _Case, attempt_row: dict[str, object], result: RelayAttempt, outcome: Rejected
) -> Settlement:
    """Fail the mail. The recipient is suppressed only if the relay refused this very address."""
    delivery, detail = case.delivery, _describe_outcome(outcome)
    suppress, reason = None, _REFUSED[outcome.refused]
    if _is_redirected(delivery, result):
        detail = f"{REDIRECTED_TEXT}: {detail}"
        reason = Reason.REDIRECT_REFUSED if outcome.phase is SmtpPhase.RCPT else reason
    elif outcome.refused is RefusalKind.RECIPIENT and result.envelope_to is not None and not delivery.is_simulated:
        suppress = (delivery.recipient, detail)
    change = case.change(Status.FAILED, reason, detail)
    return case.settle(FinishEntry(), change, cause=_get_cause(delivery), attempt=attempt_row, suppression=suppress)


def _settle_lost(case: _Case, lost: LostAttempt) -> Settlement:
    detail = "the sender died after it was permitted to hand over the mail, and left no reply"
    attempt_row = _build_attempt(case, Uncertain(detail=detail)) | {"started_at": lost.marked_at}
    return _settle_uncertain(case, attempt_row, case.change(Status.UNKNOWN, Reason.SENDER_DIED, detail))


def _settle_uncertain(case: _Case, attempt_row: dict[str, object], change: StatusChange) -> Settlement:
    """Send it once more if the template allows that; else hold it for a person until it expires."""
    delivery, context, attempts = case.delivery, case.context, case.entry.attempts + 1
    remaining = delivery.expires_at - context.now
    action: FinishEntry | RescheduleEntry | HoldEntry
    if remaining <= timedelta(0) or delivery.status not in WAITING_STATUSES:
        action = FinishEntry()
    elif delivery.uncertain_at is None and delivery.when_uncertain is WhenUncertain.RESEND:
        delay = backoff.get_resend_delay(remaining, max_delay=context.resend_after)
        action = RescheduleEntry(delay=delay, attempts=attempts)
    else:
        action = HoldEntry(delay=remaining, attempts=attempts)
    return case.settle(action, change, attempt=attempt_row)


def _settle_deferred(case: _Case, attempt_row: dict[str, object], result: RelayAttempt) -> Settlement:
    """Try again by the back-off schedule; fail if that would be after the expiry."""
    delivery, context, outcome = case.delivery, case.context, result.outcome
    attempts, cause = case.entry.attempts + 1, _get_cause(delivery)
    detail = (
        f"{REDIRECTED_TEXT}: {_describe_outcome(outcome)}"
        if _is_redirected(delivery, result)
        else _describe_outcome(outcome)
    )
    delay = backoff.get_retry_delay(attempts, spread=context.jitter)
    is_over = context.now + delay >= delivery.expires_at
    if isinstance(outcome, Deferred) and outcome.reported_fault is CircuitReason.SENDER:
        reason = Reason.SENDER_REFUSED
    elif is_over:
        reason = Reason.EXHAUSTED
    else:
        is_lost = isinstance(outcome, Deferred) and outcome.reply is None
        reason = Reason.CONNECTION_LOST if is_lost else Reason.TEMPORARY_REFUSAL
    action = FinishEntry() if is_over else RescheduleEntry(delay=delay, attempts=attempts)
    change = case.change(Status.FAILED if is_over else Status.DEFERRED, reason, detail)
    return case.settle(action, change, cause=cause, attempt=attempt_row)


def _get_cause(delivery: Delivery) -> TransitionCause:
    """Return the cause: a definite refusal ends an `unknown` of this attempt, but not one of an earlier attempt."""
    return TransitionCause.PROOF if delivery.uncertain_at is None else TransitionCause.SENDER


def _is_redirected(delivery: Delivery, attempt: RelayAttempt) -> bool:
    """Return True if the relay was given another address, so that it said nothing about the recipient."""
    return attempt.envelope_to not in (None, delivery.recipient)


def _describe_outcome(outcome: Outcome) -> str:
    """Return the relay's reply, if there was one, with our addition; else our own text."""
    reply, detail = getattr(outcome, "reply", None), str(getattr(outcome, "detail", ""))
    if reply is None:
        return detail
    return f"{reply} ({detail})" if detail else str(reply)


def _build_attempt(case: _Case, outcome: Outcome, *, is_redirected: bool = False) -> dict[str, object]:
    """Build the columns of the attempt that are always known."""
    entry = case.entry
    reply = getattr(outcome, "reply", None)
    words = reply.text if reply else _describe_outcome(outcome)
    if is_redirected and isinstance(outcome, Rejected | Deferred):
        words = f"{REDIRECTED_TEXT}: {words}"
    return {
        "id": generate_id(),
        "notification_id": case.delivery.id,
        "entry_id": entry.id,
        "lease_no": entry.lease_no,
        "number": entry.attempts + 1,
        "relay": None,
        "phase": getattr(outcome, "phase", SmtpPhase.BODY),
        "outcome": _NAMES[type(outcome)],
        "code": reply.code if reply else None,
        "enhanced_code": reply.enhanced if reply else None,
        "reply": words[:1000],
        "duration_ms": None,
        "sha256": None,
    }
