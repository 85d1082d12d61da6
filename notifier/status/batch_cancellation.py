"""Cancel a batch: from the commit of its flag on, no body of its mails is permitted.

Its rows get the status `cancelled` in steps of bounded size: the first together with the flag, the others by a sender.
Nothing here commits.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor
from notifier.db.tables import Batch, Notification, NotificationEvent, get_columns
from notifier.errors import NotFoundError
from notifier.ids import generate_id
from notifier.lookup import notification_view
from notifier.outbox import entry_store
from notifier.outbox.handler import NewEntry
from notifier.states import (
    CANCELLABLE_STATUSES,
    WAITING_STATUSES,
    EntryKind,
    EventKind,
    KeyKind,
    Priority,
    Status,
    TransitionCause,
)
from notifier.status import batch_sql
from notifier.status.status_writer import StatusChange, apply_status_changes

MAX_CANCEL_ROWS = 250
"""Rows of a batch that one transaction examines."""
_batch, _notification = get_columns(Batch), get_columns(Notification)
_ID = _batch.id.type
_OF_THE_BATCH = f"EXISTS ({batch_sql.CANCELLABLE_OF_BATCH})"


@dataclass(frozen=True, kw_only=True)
class BatchView:
    """The progress of a batch."""

    id: UUID
    created_at: datetime
    size: int  # how many notifications the request asked for
    statuses: dict[Status, int]  # of those that were written, copies left out
    closed: int = 0  # unknown ones that nobody resolved in time: they wait for nothing
    cancelled_at: datetime | None = None  # from then on nothing of it is begun
    cancelling: bool = False  # some of its mails have still to get the status `cancelled`

    @property
    def accepted(self) -> int:
        """How many were written."""
        return sum(self.statuses.values())

    @property
    def ended(self) -> int:
        """How many wait for nothing any more."""
        return sum(number for status, number in self.statuses.items() if status not in WAITING_STATUSES) + self.closed

    @property
    def progress(self) -> int:
        """The part that has ended, in percent; 100 only when all have."""
        return 100 * self.ended // self.accepted if self.accepted else 100


@dataclass(frozen=True, kw_only=True)
class CancellationStep:
    """What one transaction of a cancellation did."""

    stopped: int  # mails, including copies
    last: UUID | None  # the last row that was examined; None: there are no more


@dataclass(frozen=True, kw_only=True)
class _Flag:
    """Who cancels the batch, when the rows are changed, and why."""

    actor: str
    at: datetime
    comment: str


async def get_batch(connection: AsyncConnection, service_id: UUID, id_: UUID) -> BatchView:
    """A service's batch. Raises `NotFoundError`, also for another service's."""
    statement = select(_batch.id, _batch.created_at, _batch.size, _batch.cancelled_at)
    statement = statement.where(_batch.id == id_, _batch.service_id == service_id)
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such batch")
    own = (_notification.batch_id == id_, _notification.parent_id.is_(None))
    counted = select(_notification.status, func.count()).where(*own).group_by(_notification.status)
    statuses = {Status(status): number for status, number in await connection.execute(counted)}
    closed = await notification_view.count_closed_unknown(connection, id_) if Status.UNKNOWN in statuses else 0
    cancelling = row["cancelled_at"] is not None and bool(
        await entry_store.get_due_times(connection, service_id, [id_])
    )
    return BatchView(**row, statuses=statuses, closed=closed, cancelling=cancelling)


async def cancel_batch(
    connection: AsyncConnection,
    service_id: UUID,
    id_: UUID,
    *,
    actor: Actor,
    reach: Collection[KeyKind],
    comment: str = "",
) -> CancellationStep:
    """Stop what has not begun of the batch: flag it, and put its first rows to `cancelled`.

    If there are more, a sender goes on with them, and `release` must follow once this is committed. Raises
    `NotFoundError`, also if some of its mails are of a kind of key beyond the caller's `reach`.
    """
    await _require_reach(connection, id_, reach)
    flag = {
        "cancelled_at": func.coalesce(_batch.cancelled_at, actor.at),
        "cancelled_by": func.coalesce(_batch.cancelled_by, actor.name),
        "cancel_comment": func.coalesce(_batch.cancel_comment, comment),
    }
    flagged = update(Batch).where(_batch.id == id_, _batch.service_id == service_id).values(flag).returning(_batch.id)
    if (await connection.execute(flagged)).first() is None:
        raise NotFoundError("there is no such batch")
    step = await _cancel_rows(connection, service_id, id_, None, _Flag(actor=actor.name, at=actor.at, comment=comment))
    if step.last is not None and not await entry_store.get_due_times(connection, service_id, [id_]):
        entry = NewEntry(
            id=generate_id(),
            kind=EntryKind.BATCH,
            subject_id=id_,
            service_id=service_id,
            priority=Priority.HIGH,
            due_at=actor.at,
        )
        await entry_store.enqueue_entries(connection, [entry])
    record = audit.AuditRecord(
        action=audit.AuditAction.BATCH_CANCELLED,
        object_kind=audit.ObjectKind.BATCH,
        object_id=id_,
        service_id=service_id,
        after={"cancelled": step.stopped, "comment": comment} | ({"cancelling": True} if step.last is not None else {}),
    )
    await audit.write_audit_record(connection, record, actor)
    return step


async def _require_reach(connection: AsyncConnection, id_: UUID, kinds: Collection[KeyKind]) -> None:
    """Raise `NotFoundError`, as for a batch that does not exist, unless all its mails are of these kinds of key."""
    if set(kinds) == set(KeyKind):
        return
    beyond = select(_notification.id).where(_notification.batch_id == id_, _notification.kind.not_in(kinds)).limit(1)
    if (await connection.execute(beyond)).first() is not None:
        raise NotFoundError("there is no such batch")


async def release_claimed(connection: AsyncConnection, service_id: UUID, id_: UUID) -> None:
    """Release what senders have claimed of a flagged batch and not begun.

    Call it after the commit of the flag, because a mark that was under way at that time has not seen the flag.
    """
    await entry_store.release_leases(connection, EntryKind.EMAIL, service_id, _OF_THE_BATCH, {"batch": id_})


async def continue_cancellation(
    connection: AsyncConnection, service_id: UUID, id_: UUID, after: UUID | None, now: datetime
) -> UUID | None:
    """Cancel the next rows of a flagged batch, behind `after`; return the last one, or None at the end."""
    statement = select(_batch.cancelled_by, _batch.cancel_comment)
    statement = statement.where(_batch.id == id_, _batch.service_id == service_id, _batch.cancelled_at.is_not(None))
    flag = (await connection.execute(statement)).one_or_none()
    if flag is None:
        return None
    said = _Flag(actor=flag.cancelled_by or "", at=now, comment=flag.cancel_comment or "")
    return (await _cancel_rows(connection, service_id, id_, after, said)).last


async def _cancel_rows(
    connection: AsyncConnection, service_id: UUID, id_: UUID, after: UUID | None, flag: _Flag
) -> CancellationStep:
    ids = await _list_row_ids(connection, id_, after)
    waiting = await _select_cancellable(connection, ids)
    await entry_store.lock_entries(connection, service_id, waiting)
    # Selected again, because a sender that was settling one of them has written its status by now.
    waiting = await _select_cancellable(connection, waiting)
    stopped = await entry_store.withdraw_entries(connection, service_id, waiting) if waiting else []
    if stopped:
        steps = [
            StatusChange(notification_id=notification_id, to=Status.CANCELLED, at=flag.at)
            for notification_id in stopped
        ]
        await apply_status_changes(connection, steps, TransitionCause.CALLER)
        await connection.execute(
            insert(NotificationEvent), [_build_event(notification_id, flag) for notification_id in stopped]
        )
    return CancellationStep(stopped=len(stopped), last=ids[-1] if len(ids) == MAX_CANCEL_ROWS else None)


async def _list_row_ids(connection: AsyncConnection, id_: UUID, after: UUID | None) -> Sequence[UUID]:
    """The next rows of the batch, in any status."""
    statement = select(_notification.id).where(_notification.batch_id == id_)
    if after is not None:
        statement = statement.where(_notification.id > after)
    return (await connection.execute(statement.order_by(_notification.id).limit(MAX_CANCEL_ROWS))).scalars().all()


_CANCELLABLE = select(_notification.id).where(
    _notification.id.in_(bindparam("ids", expanding=True, type_=_ID)), _notification.status.in_(CANCELLABLE_STATUSES)
)


async def _select_cancellable(connection: AsyncConnection, ids: Sequence[UUID]) -> list[UUID]:
    """Those of them that can still be cancelled."""
    return list((await connection.execute(_CANCELLABLE, {"ids": list(ids)})).scalars()) if ids else []


def _build_event(notification_id: UUID, flag: _Flag) -> dict[str, Any]:
    return {
        "id": generate_id(),
        "notification_id": notification_id,
        "at": flag.at,
        "kind": EventKind.CANCELLED,
        "actor": flag.actor,
        "detail": flag.comment,
    }
