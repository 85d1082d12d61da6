"""Explain why a notification is not sent yet, and when it is tried next. Nothing here changes anything."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Notification, OutboxEntry, SenderProcess, columns
from notifier.notification import find, load
from notifier.notification.find import NotificationView
from notifier.notification.recipients import RecipientPolicy
from notifier.outbox.statements import SUSPECT
from notifier.states import CANCELLABLE, WAITING, EntryState, KeyKind, Priority, Reason, Status
from notifier.throttle.forecast import SILENCE
from notifier.throttle.relay_state import Obstacle, obstacles

_entry, _sender = columns(OutboxEntry), columns(SenderProcess)
_notification = columns(Notification)
MOST_COUNTED = 10_000
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


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One reason."""

    code: Because
    detail: str
    until: datetime | None = None  # None: not known, or it does not end by itself


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Every reason, in no particular order, and the earliest time of the next try."""

    view: NotificationView
    causes: list[Cause]
    next_attempt_at: datetime | None  # None: under way, held, or over


async def explain(
    connection: AsyncConnection, service_id: UUID | None, id_: UUID, policy: RecipientPolicy, now: datetime
) -> Explanation:
    """Explain the state of a notification of the service, or of any service if it is None. Raises `NotFoundError`."""
    view = await find.one(connection, service_id, id_)
    if view.status not in WAITING or view.entry_state is None:
        return Explanation(view=view, causes=[_over(view)], next_attempt_at=None)
    statement = select(OutboxEntry).join(Notification, find.ITS_ENTRY).where(_notification.id == id_)
    entry: Any = (await connection.execute(statement)).one_or_none()
    causes = list(_of_the_mail(view, now))
    if entry is not None and view.entry_state is EntryState.READY:
        causes += [cause async for cause in _of_the_queue(connection, entry, now)]
    causes += [cause async for cause in _of_the_recipient(connection, view, policy)]
    due = max(view.due_at, now) if view.due_at is not None else None
    return Explanation(view=view, causes=causes, next_attempt_at=due)


def _over(view: NotificationView) -> Cause:
    why = ": ".join(part for part in (view.reason, view.detail) if part)
    return Cause(code=Because.ENDED, detail=f"it is {view.status}" + (f" ({why})" if why else ""))


def _of_the_mail(view: NotificationView, now: datetime) -> Iterator[Cause]:
    """The reasons in its own entry and status."""
    if view.entry_state is EntryState.LEASED:
        yield Cause(code=Because.IN_HAND, detail="a sender is working on it")
    elif view.entry_state is EntryState.HELD:
        detail = "nobody knows whether the relay has it: it waits until a person resolves it"
        yield Cause(code=Because.HELD, detail=detail, until=view.expires_at)
    elif view.due_at is None or view.due_at <= now:
        return
    elif view.status is Status.QUEUED and view.reason is None:
        yield Cause(code=Because.SCHEDULED, detail="scheduled for a later time", until=view.due_at)
    elif view.status is Status.UNKNOWN:
        detail = "nobody knows whether the relay has it: it is sent once more"
        yield Cause(code=Because.UNCERTAIN, detail=detail, until=view.due_at)
    elif view.reason is Reason.SENDER_REFUSED:
        detail = f"the relay refuses this sender: {view.detail}"
        yield Cause(code=Because.SENDER_REFUSED, detail=detail, until=view.due_at)
    elif view.reason is Reason.TEMPLATE:
        yield Cause(code=Because.TEMPLATE_SLOW, detail=view.detail or "", until=view.due_at)
    else:
        yield Cause(code=Because.BACK_OFF, detail=f"the last try: {view.detail or 'no details'}", until=view.due_at)


async def _of_the_queue(connection: AsyncConnection, entry: Any, now: datetime) -> AsyncIterator[Cause]:
    """The reasons in the queue and at the relay."""
    for obstacle in await obstacles(connection):
        yield _unreachable(obstacle)
    if connection.dialect.name != "sqlite" and not await _somebody_sends(connection):
        yield Cause(code=Because.NO_SENDER, detail="no sender has run for a minute: start one with `notifier sender`")
    if entry.due_at > now:
        return
    if entry.lost >= SUSPECT:
        detail = f"{entry.lost} senders died while they sent it: it is sent alone, when nothing else is being sent"
        yield Cause(code=Because.ALONE, detail=detail)
    if ahead := await _ahead_of(connection, entry):
        number = f"more than {MOST_COUNTED}" if ahead > MOST_COUNTED else str(ahead)
        detail = f"{number} mails of this service are due before it, with this priority or a higher one"
        yield Cause(code=Because.QUEUE, detail=detail)


def _unreachable(obstacle: Obstacle) -> Cause:
    detail = f"{obstacle.relay} takes no mail since {obstacle.since.isoformat(timespec='seconds')}: {obstacle.reason}"
    return Cause(code=Because.CIRCUIT_OPEN, detail=detail)


async def _somebody_sends(connection: AsyncConnection) -> bool:
    recent = select(_sender.id).where(_sender.beat_at > func.clock_timestamp() - SILENCE).limit(1)
    return (await connection.execute(recent)).first() is not None


async def _ahead_of(connection: AsyncConnection, entry: Any) -> int:
    """How many are due before it, counted up to `MOST_COUNTED`."""
    before = (
        select(_entry.id)
        .where(
            _entry.state == EntryState.READY,
            _entry.lost < SUSPECT,
            _entry.kind == entry.kind,
            _entry.priority.in_(_AHEAD[Priority(entry.priority)]),
            _entry.service_id == entry.service_id,
            _entry.due_at < entry.due_at,
        )
        .limit(MOST_COUNTED + 1)
    )
    return int((await connection.execute(select(func.count()).select_from(before.subquery()))).scalar_one())


async def _of_the_recipient(
    connection: AsyncConnection, view: NotificationView, policy: RecipientPolicy
) -> AsyncIterator[Cause]:
    """The reasons that will stop it when it is claimed."""
    delivery = (await load.deliveries(connection, [view.id])).get(view.id)
    if delivery is not None and delivery.is_cancelled and view.status in CANCELLABLE:
        yield Cause(code=Because.BATCH_CANCELLED, detail="its batch was cancelled: it is not sent")
    if delivery is not None and delivery.suppressed_because is not None:
        detail = f"the address is suppressed ({delivery.suppressed_because}): it ends as suppressed when it is due"
        yield Cause(code=Because.SUPPRESSED, detail=detail)
    if view.kind is not KeyKind.TEST and not policy.allows(view.recipient):
        yield Cause(code=Because.RECIPIENTS_MODE, detail=policy.explanation())
