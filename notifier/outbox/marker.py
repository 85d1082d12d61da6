"""The marker: commits the mark of an entry before its body may begin.

Marks that are asked for at the same moment share a transaction. Without a database or a journal there is no mark, and
without a mark there is no body.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import BodyPermit, ClaimedEntry, Fence, Handler
from notifier.outbox.heartbeat import SenderIdentity
from notifier.outbox.queue_sql import BODY_LEASE
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

FIRST_BYTE_SECONDS = 10.0
"""The body must begin at most so many seconds after the mark was asked for."""
SETTLING_SECONDS = 60.0
"""The last seconds of the lease, in which no body may run, so that its result can be settled."""
MAX_BATCH_SIZE = 200
BATCH_WAIT_SECONDS = 0.004
"""Seconds that a mark waits for others while many bodies are under way, because each commit costs a disk write."""
BATCH_SHARE = 0.7
"""The part of the expected marks that is enough to commit at once."""


class Marker:
    """Collects the entries that wait for their mark and commits them together."""

    def __init__(
        self,
        database: Database,
        handler: Handler,
        *,
        holder: SenderIdentity,
        clock: Clock,
        accept_mark: Callable[[ClaimedEntry], bool],
        count_entries: Callable[[], int],
    ) -> None:
        self._database = database
        self._handler = handler
        self._holder = holder
        self._clock = clock
        self._accept_mark = accept_mark  # called for each committed mark before its body begins; False: too late
        self._count_entries = count_entries  # how many entries this process holds, and so how many marks to expect
        self._waiting: list[tuple[ClaimedEntry, asyncio.Future[BodyPermit | None]]] = []
        self._enough = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None
        self._log = get_logger()

    def mark(self, entry: ClaimedEntry) -> asyncio.Future[BodyPermit | None]:
        """Ask for the mark of this entry; the result is its committed permit, or None if the body must not begin."""
        future: asyncio.Future[BodyPermit | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        elif self._has_enough():
            self._enough.set()
        return future

    def _has_enough(self) -> bool:
        return len(self._waiting) >= BATCH_SHARE * min(self._handler.bodies, self._count_entries())

    async def _flush(self) -> None:
        while self._waiting:
            await self._wait_for_others()
            batch, self._waiting = self._waiting[:MAX_BATCH_SIZE], self._waiting[MAX_BATCH_SIZE:]
            permits = await self._commit_marks([entry for entry, future in batch if not future.done()])
            for entry, future in batch:
                if not future.done():
                    permit = permits.get(entry.fence)
                    future.set_result(permit if permit is not None and self._accept_mark(entry) else None)

    async def _wait_for_others(self) -> None:
        self._enough.clear()
        if self._has_enough():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BATCH_WAIT_SECONDS):
                await self._enough.wait()

    async def _commit_marks(self, entries: Sequence[ClaimedEntry]) -> dict[Fence, BodyPermit]:
        """Return the permits of the entries whose mark is committed; time counts from before it was sent."""
        started, missed_periods = self._clock.monotonic(), self._holder.missed_periods
        if not entries or not self._holder.journal.is_writable or not self._holder.may_continue(missed_periods):
            return {}
        try:
            async with asyncio.timeout(FIRST_BYTE_SECONDS), self._database.write_statement() as connection:
                marked = await entry_store.mark_entries(
                    connection, self._holder.boot_id, entries, still_wanted=self._handler.still_wanted
                )
        except (DatabaseUnavailableError, TimeoutError):
            self._log.warning("mark_without_database", count=len(entries))
            return {}
        except Exception as error:  # noqa: BLE001 - after any error there is no mark, and so no body
            self._log.exception("mark_failed", error=type(error).__name__, count=len(entries))
            return {}
        metrics.MARKED.inc(len(marked))
        permit = BodyPermit(
            first_byte_by=started + FIRST_BYTE_SECONDS,
            ends=started + BODY_LEASE.total_seconds() - SETTLING_SECONDS,
            may_continue=partial(self._holder.may_continue, missed_periods),
        )
        return dict.fromkeys(marked, permit)
