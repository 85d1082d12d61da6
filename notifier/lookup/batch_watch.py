"""How batches stand, for those who watch them: read for all of them together, on one connection."""

import asyncio
from uuid import UUID

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.status import batch_cancellation
from notifier.status.batch_cancellation import BatchView
from notifier.ttl_cache import TtlCache

WATCH_INTERVAL_SECONDS = 1.0
"""A batch is read at most once in this time for all who watch it, and a watcher's key is checked as often."""
MAX_WATCH_SECONDS = 600.0
"""How long one stream tells about a batch; who wants to see more asks again."""


class BatchWatch:
    """Reads a batch at most once in a while, however many watch it, and one batch at a time."""

    def __init__(self, database: Database, clock: Clock, *, seconds: float = WATCH_INTERVAL_SECONDS) -> None:
        self.seconds = seconds  # between two looks
        self._database = database
        self._reading = asyncio.Semaphore(1)
        self._views: TtlCache[tuple[UUID, UUID], BatchView] = TtlCache(self._read, clock, seconds=seconds)

    async def get_current(self, service_id: UUID, view: BatchView) -> BatchView:
        """How the batch of a view stands now. Raises `NotFoundError`."""
        return await self._views.get((service_id, view.id)) or view

    async def _read(self, key: tuple[UUID, UUID]) -> BatchView:
        async with self._reading, self._database.read() as connection:
            return await batch_cancellation.get_batch(connection, *key)
