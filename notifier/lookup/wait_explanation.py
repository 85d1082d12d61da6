"""Explain why a notification is not sent yet, and when it is tried next. Only reads."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Notification, OutboxEntry, SenderProcess, get_columns
from notifier.delivery import delivery_loader
from notifier.email_address import RecipientPolicy
from notifier.lookup import notification_view
from notifier.lookup.notification_view import NotificationView
from notifier.outbox.queue_sql import SUSPECT_LOSSES
from notifier.states import CANCELLABLE_STATUSES, WAITING_STATUSES, EntryState, KeyKind, Priority, Reason, Status
from notifier.throttle.queue_forecast import MAX_SENDER_SILENCE
from notifier.throttle.relay_state import list_relay_outages

_entry, _sender = get_columns(OutboxEntry), get_columns(SenderProcess)
_notification = get_columns(Notification)
MAX_COUNTED_AHEAD = 10_000
_AHEAD = {
    Priority.HIGH: (Priority.HIGH,),
    Priority.NORMAL: (Priority.HIGH, Priority.NORMAL),
    Priority.BULK: tuple(Priority),
}


class Because(StrEnum):
    """Why a mail waits, or waits no longer."""

    ENDED = "ended"
    SCHEDULED = "scheduled"
    BACK_OFF = "back_off"
    SENDER_REFUSED = "sender_refused"
    TEMPLATE_SLOW = "template_slow"
    UNCERTAIN = "uncertain"
    HELD = "held"
    IN_HAND = "in_hand"
    ALONE = "alone"
    CIRCUIT_OPEN = "circuit_open"
    NO_SENDER = "no_sender"
    QUEUE = "queue"
    SUPPRESSED = "suppressed"
    RECIPIENTS_MODE = "recipients_mode"
    BATCH_CANCELLED = "batch_cancelled"
    BATCH_PAUSED = "batch_paused"


@dataclass(frozen=True, kw_only=True)
class WaitCause:
    """One reason for a wait."""

    code: Because
    detail: str
    until: datetime | None = None  # None: unknown, or until somebody acts


@dataclass(frozen=True, kw_only=True)
class WaitExplanation:
    """Every reason, in no particular order, and the earliest time of the next try."""

    view: NotificationView
    causes: list[WaitCause]
    next_attempt_at: datetime | None  # None: under way, held, or over


async def explain_notification(
    connection: AsyncConnection, service_id: UUID | None, id_: UUID, policy: RecipientPolicy, now: datetime
) -> WaitExplanation:
    """Explain the state of a notification of the service, or of any service if it is None. Raises `NotFoundError`."""
    view = await notification_view.get_notification(connection, service_id, id_)
    if view.status not in WAITING_STATUSES or view.entry_state is None:
        return WaitExplanation(view=view, causes=[_explain_end(view)], next_attempt_at=None)
    statement = (
        select(OutboxEntry).join(Notification, notification_view.ENTRY_OF_NOTIFICATION).where(_notification.id == id_)
    )
    entry: Any = (await connection.execute(statement)).one_or_none()
    causes = list(_explain_entry(view, now))
    if entry is not None and view.entry_state is EntryState.READY:
        causes += [cause async for cause in _explain_queue(connection, entry, now)]
    causes += [cause async for cause in _explain_recipient(connection, view, policy)]
    due = max(view.due_at, now) if view.due_at is not None else None
    return WaitExplanation(view=view, causes=causes, next_attempt_at=due)


def _explain_end(view: NotificationView) -> WaitCause:
    why = f" ({view.explained_status})" if view.explained_status else ""
    return WaitCause(code=Because.ENDED, detail=f"it is {view.status}{why}")


def _explain_entry(view: NotificationView, now: datetime) -> Iterator[WaitCause]:
    if view.entry_state is EntryState.LEASED:
        yield WaitCause(code=Because.IN_HAND, detail="a sender is working on it")
    elif view.entry_state is EntryState.HELD:
        detail = "nobody knows whether the relay has it: it waits until a person resolves it"
        yield WaitCause(code=Because.HELD, detail=detail, until=view.expires_at)
    elif view.due_at is None or view.due_at <= now:
        return
    elif view.status is Status.QUEUED and view.reason is None:
        yield WaitCause(code=Because.SCHEDULED, detail="scheduled for a later time", until=view.due_at)
    elif view.status is Status.UNKNOWN:
        detail = "nobody knows whether the relay has it: it is sent once more"
        yield WaitCause(code=Because.UNCERTAIN, detail=detail, until=view.due_at)
    elif view.reason is Reason.SENDER_REFUSED:
        detail = f"the relay refuses this sender: {view.detail}"
        yield WaitCause(code=Because.SENDER_REFUSED, detail=detail, until=view.due_at)
    elif view.reason is Reason.TEMPLATE:
        yield WaitCause(code=Because.TEMPLATE_SLOW, detail=view.detail or "", until=view.due_at)
    else:
        yield WaitCause(code=Because.BACK_OFF, detail=f"the last try: {view.detail or 'no details'}", until=view.due_at)


async def _explain_queue(connection: AsyncConnection, entry: Any, now: datetime) -> AsyncIterator[WaitCause]:
    for outage in await list_relay_outages(connection):
        since = outage.since.isoformat(timespec="seconds")
        detail = f"{outage.relay} takes no mail since {since}: {outage.reason}"
        yield WaitCause(code=Because.CIRCUIT_OPEN, detail=detail)
    if connection.dialect.name != "sqlite" and not await _has_live_sender(connection):
        detail = "no sender has run for a minute: start one with `notifier sender`"
        yield WaitCause(code=Because.NO_SENDER, detail=detail)
    if entry.due_at > now:
        return
    if entry.lost >= SUSPECT_LOSSES:
        detail = f"{entry.lost} senders died while they sent it: it is sent alone, when nothing else is being sent"
        yield WaitCause(code=Because.ALONE, detail=detail)
    if ahead := await _count_ahead(connection, entry):
        number = f"more than {MAX_COUNTED_AHEAD}" if ahead > MAX_COUNTED_AHEAD else str(ahead)
        detail = f"{number} mails of this service are due before it, with this priority or a higher one"
        yield WaitCause(code=Because.QUEUE, detail=detail)


async def _has_live_sender(connection: AsyncConnection) -> bool:
    recent = select(_sender.id).where(_sender.beat_at > func.clock_timestamp() - MAX_SENDER_SILENCE).limit(1)
    return (await connection.execute(recent)).first() is not None


async def _count_ahead(connection: AsyncConnection, entry: Any) -> int:
    before = (
        select(_entry.id)
        .where(
            _entry.state == EntryState.READY,
            _entry.lost < SUSPECT_LOSSES,
            _entry.kind == entry.kind,
            _entry.priority.in_(_AHEAD[Priority(entry.priority)]),
            _entry.service_id == entry.service_id,
            _entry.due_at < entry.due_at,
        )
        .limit(MAX_COUNTED_AHEAD + 1)
    )
    return int((await connection.execute(select(func.count()).select_from(before.subquery()))).scalar_one())


async def _explain_recipient(
    connection: AsyncConnection, view: NotificationView, policy: RecipientPolicy
) -> AsyncIterator[WaitCause]:
    """The reasons for which it will not be sent when it is claimed."""
    delivery = (await delivery_loader.load_deliveries(connection, [view.id])).get(view.id)
    if delivery is not None and delivery.is_cancelled and view.status in CANCELLABLE_STATUSES:
        yield WaitCause(code=Because.BATCH_CANCELLED, detail="its batch was cancelled: it is not sent")
    elif delivery is not None and delivery.is_paused and view.status in CANCELLABLE_STATUSES:
        yield WaitCause(code=Because.BATCH_PAUSED, detail="its merge is paused: it waits until somebody resumes it")
    if delivery is not None and delivery.suppressed_because is not None:
        detail = f"the address is suppressed ({delivery.suppressed_because}): it ends as suppressed when it is due"
        yield WaitCause(code=Because.SUPPRESSED, detail=detail)
    if view.kind is not KeyKind.TEST and not policy.allows(view.recipient):
        yield WaitCause(code=Because.RECIPIENTS_MODE, detail=policy.explain_refusal())
