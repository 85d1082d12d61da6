"""The progress of a batch: read once, or again and again for clients that watch it."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import Batch, Notification, get_columns
from notifier.errors import NotFoundError
from notifier.lookup import notification_view
from notifier.lookup.merge_progress import count_kept_statuses
from notifier.outbox import entry_store
from notifier.states import WAITING_STATUSES, Status
from notifier.ttl_cache import TtlCache

WATCH_INTERVAL_SECONDS = 1.0
"""A batch is read at most once per interval for all who watch it."""
_batch, _notification = get_columns(Batch), get_columns(Notification)


@dataclass(frozen=True, kw_only=True)
class BatchView:
    """The progress of a batch."""

    id: UUID
    created_at: datetime
    size: int  # how many notifications the request asked for
    statuses: dict[Status, int]  # of those that were written, copies left out
    closed: int = 0  # unknown ones that nobody resolved in time
    cancelled_at: datetime | None = None  # from then on no mail of it is begun
    cancelling: bool = False  # some of its mails do not have the status `cancelled` yet

    @property
    def accepted(self) -> int:
        """How many were written."""
        return sum(self.statuses.values())

    @property
    def ended(self) -> int:
        """How many have ended."""
        return sum(number for status, number in self.statuses.items() if status not in WAITING_STATUSES) + self.closed

    @property
    def progress(self) -> int:
        """The part that has ended, in percent; 100 only if all have ended."""
        return 100 * self.ended // self.accepted if self.accepted else 100


async def get_batch(connection: AsyncConnection, service_id: UUID, id_: UUID) -> BatchView:
    """Get the progress of a service's batch. Raises `NotFoundError`, also for a batch of another service."""
    statement = select(_batch.id, _batch.created_at, _batch.size, _batch.cancelled_at, _batch.written)
    statement = statement.where(_batch.id == id_, _batch.service_id == service_id)
    stored = (await connection.execute(statement)).mappings().one_or_none()
    if stored is None:
        raise NotFoundError("there is no such batch")
    row = dict(stored)
    written = row.pop("written")
    if written is None:
        statuses = await _count_statuses(connection, id_)
        closed = await notification_view.count_closed_unknown(connection, id_) if Status.UNKNOWN in statuses else 0
    else:
        statuses, closed = await count_kept_statuses(connection, id_, written)
    is_cancelled = row["cancelled_at"] is not None
    cancelling = is_cancelled and bool(await entry_store.get_due_times(connection, service_id, [id_]))
    return BatchView(**row, statuses=statuses, closed=closed, cancelling=cancelling)


async def _count_statuses(connection: AsyncConnection, id_: UUID) -> dict[Status, int]:
    """Count the notifications of a batch request by their status: it has at most a thousand."""
    own = (_notification.batch_id == id_, _notification.parent_id.is_(None))
    counted = select(_notification.status, func.count()).where(*own).group_by(_notification.status)
    return {Status(status): number for status, number in await connection.execute(counted)}


class BatchWatch:
    """Reads each batch at most once per interval for all clients that watch it, and one batch at a time."""

    def __init__(self, database: Database, clock: Clock, *, seconds: float = WATCH_INTERVAL_SECONDS) -> None:
        self.seconds = seconds  # between two reads
        self._database = database
        self._reading = asyncio.Semaphore(1)
        self._views: TtlCache[tuple[UUID, UUID], BatchView] = TtlCache(self._read, clock, seconds=seconds)

    async def get_current(self, service_id: UUID, view: BatchView) -> BatchView:
        """Get the current progress of the batch. Raises `NotFoundError`."""
        return await self._views.get((service_id, view.id)) or view

    async def _read(self, key: tuple[UUID, UUID]) -> BatchView:
        async with self._reading, self._database.read() as connection:
            return await get_batch(connection, *key)
