"""The one gate to what cannot be undone: a body begins only after its mark is committed.

All that ask at the same moment share a transaction. No database or no journal, no mark; no mark, no body.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.outbox import store
from notifier.outbox.handler import Claimed, Fence, Handler, Permit
from notifier.outbox.holder import Holder
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

FIRST_BYTE_SECONDS = 10.0
"""From the moment in which the mark is asked for; later than this the body never begins."""
BODY_LEASE = timedelta(minutes=20)
SETTLING_SECONDS = 60.0
"""The part of that lease in which no body may be under way any more, so that its end can be written down."""
LARGEST_BATCH = 200


class Marker:
    """Collects what waits for its mark and commits it together."""

    def __init__(self, database: Database, handler: Handler, *, holder: Holder, clock: Clock) -> None:
        self._database = database
        self._handler = handler
        self._holder = holder
        self._clock = clock
        self._waiting: list[tuple[Claimed, asyncio.Future[Permit | None]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._log = get_logger()

    async def mark(self, entry: Claimed) -> Permit | None:
        """Permission for this entry's body, committed; None if it must not begin."""
        future: asyncio.Future[Permit | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        try:
            async with asyncio.timeout(FIRST_BYTE_SECONDS):
                return await future
        except TimeoutError:
            return None

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
            permits = await self._permits([entry for entry, future in batch if not future.done()])
            for entry, future in batch:
                if not future.done():
                    future.set_result(permits.get(entry.fence))

    async def _permits(self, entries: Sequence[Claimed]) -> dict[Fence, Permit]:
        """The permits of those whose mark is committed; time counts from before it was sent."""
        asked, lapses = self._clock.monotonic(), self._holder.lapses
        if not entries or not self._holder.journal.writable or not self._holder.may_go_on(lapses):
            return {}
        try:
            marked = await self._transaction(entries)
        except DatabaseUnavailableError:
            self._log.warning("mark_without_database", count=len(entries))
            return {}
        except Exception as error:  # noqa: BLE001 - whatever it is: no mark, no body
            self._log.exception("mark_failed", error=type(error).__name__, count=len(entries))
            return {}
        metrics.MARKED.inc(len(marked))
        permit = Permit(
            first_byte_by=asked + FIRST_BYTE_SECONDS,
            ends=asked + BODY_LEASE.total_seconds() - SETTLING_SECONDS,
            may_go_on=partial(self._holder.may_go_on, lapses),
        )
        return dict.fromkeys(marked, permit)

    async def _transaction(self, entries: Sequence[Claimed]) -> set[Fence]:
        async with self._database.write() as connection:
            subjects = await self._handler.permitted(connection, {entry.subject_id for entry in entries})
            allowed = sorted((e for e in entries if e.subject_id in subjects), key=lambda e: e.id)
            if not allowed:
                return set()
            return await store.mark(connection, self._holder.boot_id, allowed, lease=BODY_LEASE)
