"""What the end of a try means: for the outbox entry, for the status, for the history and for the suppression list.

Deciding is pure; writing happens in the settler's transaction, for the entries whose fence held.
"""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from notifier import backoff, suppression
from notifier.db.direct_connections import StatementConnection
from notifier.delivery import simulator
from notifier.delivery.attempt_writer import write_attempts
from notifier.delivery.delivery_loader import Delivery
from notifier.delivery.delivery_result import (
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
from notifier.outbox.handler import ClaimedEntry, FinishEntry, HoldEntry, ReleaseEntry, RescheduleEntry, Settlement
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
from notifier.states import WAITING_STATUSES, Reason, Status, SuppressionReason, TransitionCause, WhenUncertain
from notifier.status.status_writer import StatusChange, apply_status_changes

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
    suppression: tuple[str, str] | None = None  # recipient and the relay's words
    feedback: Status | None = None  # of a simulated mail: what is heard of it next


def decide_settlement(  # noqa: PLR0911 - one return per verdict
    entry: ClaimedEntry, delivery: Delivery, verdict: DeliveryResult, given: SettlementContext
) -> Settlement:
    """The settlement of one claim."""
    match verdict:
        case NotBegun() | RelayAttempt(outcome=NotPermitted()):
            return Settlement(entry=entry, action=ReleaseEntry())
        case EarlyStop():
            step = _change_status(delivery, given, verdict.status, verdict.reason, verdict.detail)
            return Settlement(entry=entry, action=FinishEntry(), record=DeliveryRecord(status_change=step))
        case Throttled(wait=wait):
            return _settle_throttled(entry, delivery, wait, given)
        case CodeFault():
            return _settle_fault(entry, delivery, verdict, given)
        case RelayAttempt(outcome=NotTried() as outcome):
            return _settle_not_tried(entry, delivery, outcome, given)
        case RelayAttempt():
            return _settle_attempt(entry, delivery, verdict, given)
        case LostAttempt():
            return _settle_lost(entry, delivery, verdict, given)
        case UnwritableResult():
            detail = "how it ended cannot be written down: see the log of the sender"
            step = _change_status(delivery, given, Status.UNKNOWN, Reason.INTERNAL, detail)
            return Settlement(
                entry=entry,
                action=HoldEntry(delay=delivery.expires_at - given.now),
                record=DeliveryRecord(status_change=step),
            )


def _settle_throttled(entry: ClaimedEntry, delivery: Delivery, wait: timedelta, given: SettlementContext) -> Settlement:
    """Later, and each time it comes too early later still, so that thousands of them do not keep the queue busy.

    Why it waits is told once, and does not displace the words about a mail that may have been sent.
    """
    age = given.now - delivery.message_date
    delay = max(wait, age / 2) * (1 + given.jitter)
    again = RescheduleEntry(delay=delay, attempts=entry.attempts, faults=entry.faults, fault=entry.fault)
    if delivery.status is Status.UNKNOWN or delivery.reason is Reason.TEMPLATE:
        return Settlement(entry=entry, action=again)
    why = THROTTLED_TEMPLATE_TEXT if delivery.template_version_id else THROTTLED_CONTENT_TEXT
    step = _change_status(delivery, given, delivery.status, Reason.TEMPLATE, why)
    return Settlement(entry=entry, action=again, record=DeliveryRecord(status_change=step))


def _settle_fault(entry: ClaimedEntry, delivery: Delivery, fault: CodeFault, given: SettlementContext) -> Settlement:
    """The same error three times in a row is not going to pass by itself."""
    faults = entry.faults + 1 if entry.fault == fault.fingerprint else 1
    if faults >= MAX_FAULTS:
        step = _change_status(delivery, given, Status.FAILED, Reason.INTERNAL, fault.detail)
        return Settlement(entry=entry, action=FinishEntry(), record=DeliveryRecord(status_change=step))
    step = _change_status(delivery, given, Status.DEFERRED, Reason.INTERNAL, fault.detail)
    again = RescheduleEntry(delay=FAULT_DELAY, attempts=entry.attempts, faults=faults, fault=fault.fingerprint)
    return Settlement(entry=entry, action=again, record=DeliveryRecord(status_change=step))


def _settle_not_tried(
    entry: ClaimedEntry, delivery: Delivery, outcome: NotTried, given: SettlementContext
) -> Settlement:
    """No attempt is burnt. A relay out of reach moves nothing; a refused sender waits aside, so that others flow."""
    if outcome.scope is OutageScope.RELAY:
        return Settlement(entry=entry, action=ReleaseEntry())
    step = _change_status(delivery, given, delivery.status, Reason.SENDER_REFUSED, outcome.detail)
    again = RescheduleEntry(delay=given.sender_wait, attempts=entry.attempts)
    return Settlement(entry=entry, action=again, record=DeliveryRecord(status_change=step))


def _settle_attempt(
    entry: ClaimedEntry, delivery: Delivery, tried: RelayAttempt, given: SettlementContext
) -> Settlement:
    attempt = _build_attempt(entry, delivery, tried.outcome, is_redirected=_is_redirected(delivery, tried)) | {
        "relay": tried.relay,
        "started_at": tried.started_at,
        "duration_ms": round(tried.seconds * 1000),
        "sha256": tried.sha256,
    }
    match tried.outcome:
        case Accepted(reply=reply):
            step = _change_status(delivery, given, Status.SENT, None, str(reply))
            record = DeliveryRecord(status_change=step, attempt=attempt, feedback=simulator.get_feedback(delivery))
            return Settlement(entry=entry, action=FinishEntry(), record=record, proof=True)
        case Rejected():
            return _settle_rejected(entry, delivery, attempt, tried, given)
        case Uncertain(detail=detail):
            step = _change_status(delivery, given, Status.UNKNOWN, Reason.NO_FINAL_REPLY, detail)
            return _settle_uncertain(entry, delivery, DeliveryRecord(status_change=step, attempt=attempt), given)
        case _:
            return _settle_deferred(entry, delivery, attempt, tried, given)


def _settle_rejected(
    entry: ClaimedEntry, delivery: Delivery, attempt: dict[str, object], tried: RelayAttempt, given: SettlementContext
) -> Settlement:
    """Over. The recipient is suppressed for a fact about that very address, and for nothing else."""
    assert isinstance(tried.outcome, Rejected)
    refused, phase, words = tried.outcome.refused, tried.outcome.phase, _describe_outcome(tried.outcome)
    suppress, reason = None, _REFUSED[refused]
    if _is_redirected(delivery, tried):
        words = f"{REDIRECTED_TEXT}: {words}"
        reason = Reason.REDIRECT_REFUSED if phase is SmtpPhase.RCPT else reason
    elif refused is RefusalKind.RECIPIENT and tried.envelope_to is not None and not simulator.uses_simulator(delivery):
        suppress = (delivery.recipient, words)
    step = _change_status(delivery, given, Status.FAILED, reason, words)
    record = DeliveryRecord(status_change=step, cause=_get_cause(delivery), attempt=attempt, suppression=suppress)
    return Settlement(entry=entry, action=FinishEntry(), record=record)


def _settle_lost(
    entry: ClaimedEntry, delivery: Delivery, abandoned: LostAttempt, given: SettlementContext
) -> Settlement:
    detail = "the sender died after it was permitted to hand over the mail, and left no reply"
    attempt = _build_attempt(entry, delivery, Uncertain(detail=detail)) | {"started_at": abandoned.marked_at}
    step = _change_status(delivery, given, Status.UNKNOWN, Reason.SENDER_DIED, detail)
    return _settle_uncertain(entry, delivery, DeliveryRecord(status_change=step, attempt=attempt), given)


def _settle_uncertain(
    entry: ClaimedEntry, delivery: Delivery, record: DeliveryRecord, given: SettlementContext
) -> Settlement:
    """Sent again once, if the template allows it; else kept for a person until it would be too late anyway."""
    left, attempts = delivery.expires_at - given.now, entry.attempts + 1
    action: FinishEntry | RescheduleEntry | HoldEntry
    if left <= timedelta(0) or delivery.status not in WAITING_STATUSES:
        action = FinishEntry()
    elif delivery.uncertain_at is None and delivery.when_uncertain is WhenUncertain.RESEND:
        action = RescheduleEntry(delay=backoff.get_resend_delay(left, max_delay=given.resend_after), attempts=attempts)
    else:
        action = HoldEntry(delay=left, attempts=attempts)
    return Settlement(entry=entry, action=action, record=record)


def _settle_deferred(
    entry: ClaimedEntry, delivery: Delivery, attempt: dict[str, object], tried: RelayAttempt, given: SettlementContext
) -> Settlement:
    """Due again by the schedule, or over if that would be after the expiry."""
    attempts, cause, outcome = entry.attempts + 1, _get_cause(delivery), tried.outcome
    words = (
        f"{REDIRECTED_TEXT}: {_describe_outcome(outcome)}"
        if _is_redirected(delivery, tried)
        else _describe_outcome(outcome)
    )
    delay = backoff.get_retry_delay(attempts, spread=given.jitter)
    refuses_sender = isinstance(outcome, Deferred) and outcome.reported_fault is CircuitReason.SENDER
    if given.now + delay >= delivery.expires_at:
        over = Reason.SENDER_REFUSED if refuses_sender else Reason.EXHAUSTED
        step = _change_status(delivery, given, Status.FAILED, over, words)
        return Settlement(
            entry=entry, action=FinishEntry(), record=DeliveryRecord(status_change=step, cause=cause, attempt=attempt)
        )
    lost = isinstance(outcome, Deferred) and outcome.reply is None
    reason = Reason.CONNECTION_LOST if lost else Reason.TEMPORARY_REFUSAL
    reason = Reason.SENDER_REFUSED if refuses_sender else reason
    step = _change_status(delivery, given, Status.DEFERRED, reason, words)
    again = RescheduleEntry(delay=delay, attempts=attempts)
    return Settlement(
        entry=entry, action=again, record=DeliveryRecord(status_change=step, cause=cause, attempt=attempt)
    )


def _get_cause(delivery: Delivery) -> TransitionCause:
    """A definite no also ends an `unknown` that is about this very attempt; one about an earlier attempt stays."""
    return TransitionCause.PROOF if delivery.uncertain_at is None else TransitionCause.SENDER


def _change_status(
    delivery: Delivery, given: SettlementContext, to: Status, reason: Reason | None, detail: str
) -> StatusChange:
    return StatusChange(notification_id=delivery.id, to=to, at=given.now, reason=reason, detail=detail)


def _is_redirected(delivery: Delivery, tried: RelayAttempt) -> bool:
    """True if the relay was given another address, so that it said nothing about the recipient."""
    return tried.envelope_to not in (None, delivery.recipient)


def _describe_outcome(outcome: Outcome) -> str:
    """The relay's words where it said something, with what we add to them, else ours."""
    reply, detail = getattr(outcome, "reply", None), str(getattr(outcome, "detail", ""))
    if reply is None:
        return detail
    return f"{reply} ({detail})" if detail else str(reply)


def _build_attempt(
    entry: ClaimedEntry, delivery: Delivery, outcome: Outcome, *, is_redirected: bool = False
) -> dict[str, object]:
    """What is always known of a row of the attempt table."""
    reply = getattr(outcome, "reply", None)
    words = reply.text if reply else _describe_outcome(outcome)
    if is_redirected and isinstance(outcome, Rejected | Deferred):
        words = f"{REDIRECTED_TEXT}: {words}"
    return {
        "id": generate_id(),
        "notification_id": delivery.id,
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


async def write_settlements(connection: StatementConnection, settled: Sequence[Settlement]) -> None:
    """Write the records of these settlements, in the settler's transaction."""
    records = [s.record for s in settled if isinstance(s.record, DeliveryRecord)]
    for cause in (TransitionCause.SENDER, TransitionCause.PROOF):
        await apply_status_changes(
            connection, [r.status_change for r in records if r.status_change and r.cause is cause], cause
        )
    if heard := [
        _build_simulated_feedback(r.status_change, r.feedback) for r in records if r.status_change and r.feedback
    ]:
        await apply_status_changes(connection, heard, TransitionCause.FEEDBACK)
    if attempts := [r.attempt for r in records if r.attempt]:
        await write_attempts(connection, attempts)
    for record in records:
        if record.suppression and record.status_change:
            recipient, words = record.suppression
            await suppression.suppress_recipient(
                connection,
                recipient,
                reason=SuppressionReason.RECIPIENT_REFUSED,
                detail=words,
                now=record.status_change.at,
            )


def _build_simulated_feedback(step: StatusChange, status: Status) -> StatusChange:
    """What follows from a step of a simulated mail."""
    return msgspec.structs.replace(step, to=status, detail=f"simulated: {status}")
