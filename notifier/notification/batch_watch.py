"""Read the progress of batches for all who watch them, on one connection."""

import asyncio
from uuid import UUID

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.notification import batch
from notifier.notification.batch import BatchView
from notifier.recall import Recall

LOOK_SECONDS = 1.0
"""A batch is read at most once per interval for all who watch it, and a watcher's key is checked as often."""
MAX_WATCH_SECONDS = 600.0
"""The longest stream; a client reconnects to see more."""


class BatchWatch:
    """Reads each batch at most once per interval for all watchers, and one batch at a time."""

    def __init__(self, database: Database, clock: Clock, *, seconds: float = LOOK_SECONDS) -> None:
        self.seconds = seconds  # between two reads
        self._database = database
        self._reading = asyncio.Semaphore(1)
        self._views: Recall[tuple[UUID, UUID], BatchView] = Recall(self._read, clock, seconds=seconds)

    async def look(self, service_id: UUID, view: BatchView) -> BatchView:
        """The current progress of the batch. Raises `NotFoundError`."""
        return await self._views.look_up((service_id, view.id)) or view

    async def _read(self, key: tuple[UUID, UUID]) -> BatchView:
        async with self._reading, self._database.read() as connection:
            return await batch.look(connection, *key)
