"""A batch as a whole, once it is taken in: how far it has come, and seeing that the rest of it is never sent.

Nothing here commits.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.db.tables import Batch, Event, Notification, columns
from notifier.errors import NotFoundError
from notifier.ids import new_id
from notifier.notification.change import Asked
from notifier.notification.move import Move, move
from notifier.outbox import store
from notifier.states import WAITING, EventKind, KeyKind, Status

_batch, _notification = columns(Batch), columns(Notification)
_ID = _batch.id.type
CANCELLABLE = (Status.QUEUED, Status.DEFERRED)


@dataclass(frozen=True, kw_only=True)
class BatchView:
    """How far a batch has come."""

    id: UUID
    created_at: datetime
    size: int  # how many notifications the request asked for
    statuses: dict[Status, int]  # of those that were written, copies left out
    closed: int = 0  # of those that are unknown: nobody looked in time, and nothing is waited for

    @property
    def accepted(self) -> int:
        """How many were written."""
        return sum(self.statuses.values())

    @property
    def ended(self) -> int:
        """How many are not waited for any more."""
        return sum(number for status, number in self.statuses.items() if status not in WAITING) + self.closed

    @property
    def progress(self) -> int:
        """The part that has ended, in percent; 100 only when all have."""
        return 100 * self.ended // self.accepted if self.accepted else 100


async def look(connection: AsyncConnection, service_id: UUID, id_: UUID) -> BatchView:
    """A service's batch. Raises `NotFoundError`, also for another service's."""
    wanted = select(_batch.id, _batch.created_at, _batch.size).where(_batch.id == id_, _batch.service_id == service_id)
    found = (await connection.execute(wanted)).mappings().one_or_none()
    if found is None:
        raise NotFoundError("there is no such batch")
    own = (_notification.batch_id == id_, _notification.parent_id.is_(None))
    counted = select(_notification.status, func.count()).where(*own).group_by(_notification.status)
    statuses = {Status(status): number for status, number in await connection.execute(counted)}
    if Status.UNKNOWN not in statuses:
        return BatchView(**found, statuses=statuses)
    unknown = select(_notification.id).where(*own, _notification.status == Status.UNKNOWN)
    ids = (await connection.execute(unknown)).scalars().all()
    return BatchView(**found, statuses=statuses, closed=len(ids) - len(await store.due(connection, service_id, ids)))


async def require_reach(connection: AsyncConnection, id_: UUID, kinds: Collection[KeyKind]) -> None:
    """Raise `NotFoundError`, as for a batch that there is not, unless all its mails are of these kinds of key."""
    if set(kinds) == set(KeyKind):
        return
    beyond = select(_notification.id).where(_notification.batch_id == id_, _notification.kind.not_in(kinds)).limit(1)
    if (await connection.execute(beyond)).first() is not None:
        raise NotFoundError("there is no such batch")


_WAITING = select(_notification.id).where(
    _notification.batch_id == bindparam("batch", type_=_ID), _notification.status.in_(CANCELLABLE)
)


async def cancel(connection: AsyncConnection, service_id: UUID, id_: UUID, asked: Asked) -> tuple[int, audit.Deed]:
    """See that nothing of the batch is sent that has not begun yet; how many mails those are, and what was done."""
    await store.lock(connection, service_id, await _waiting(connection, id_))
    # Asked again, because a sender that was settling one of them has written its status by now.
    waiting = await _waiting(connection, id_)
    stopped = await store.withdraw_all(connection, service_id, waiting)
    steps = [Move(notification_id=one, to=Status.CANCELLED, at=asked.at) for one in stopped]
    if steps:
        await move(connection, steps, asked.cause)
        await connection.execute(insert(Event), [_event(one, asked) for one in stopped])
    deed = audit.Deed(
        action=audit.Action.BATCH_CANCELLED,
        object_kind=audit.ObjectKind.BATCH,
        object_id=id_,
        service_id=service_id,
        after={"cancelled": len(stopped), "comment": asked.comment},
    )
    return len(stopped), deed


async def _waiting(connection: AsyncConnection, id_: UUID) -> list[UUID]:
    return list((await connection.execute(_WAITING, {"batch": id_})).scalars())


def _event(notification_id: UUID, asked: Asked) -> dict[str, Any]:
    return {
        "id": new_id(),
        "notification_id": notification_id,
        "at": asked.at,
        "kind": EventKind.CANCELLED,
        "actor": asked.actor,
        "detail": asked.comment,
    }
