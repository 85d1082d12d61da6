"""The one gate to what cannot be undone: a body begins only after its mark is committed.

All that ask at the same moment share a transaction. No database or no journal, no mark; no mark, no body.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.outbox import entry_store
from notifier.outbox.handler import BodyPermit, ClaimedEntry, Fence, Handler
from notifier.outbox.queue_sql import BODY_LEASE
from notifier.outbox.sender_identity import SenderIdentity
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

FIRST_BYTE_SECONDS = 10.0
"""From the moment in which the mark is asked for; later than this the body never begins."""
SETTLING_SECONDS = 60.0
"""The part of that lease in which no body may be under way any more, so that its end can be written down."""
MAX_BATCH_SIZE = 200


BATCH_WAIT_SECONDS = 0.004
"""For so long a mark waits for others while many bodies are under way: each commit costs a write to the disk."""
BATCH_SHARE = 0.7
"""The part of the bodies that is company enough."""


class Marker:
    """Collects what waits for its mark and commits it together."""

    def __init__(
        self,
        database: Database,
        handler: Handler,
        *,
        holder: SenderIdentity,
        clock: Clock,
        granted: Callable[[ClaimedEntry], bool],
        inside: Callable[[], int],
    ) -> None:
        self._database = database
        self._handler = handler
        self._holder = holder
        self._clock = clock
        self._granted = granted  # told of each mark that is committed, before anybody acts on it; False: too late
        self._inside = inside  # how many entries this process holds: how much company to expect
        self._waiting: list[tuple[ClaimedEntry, asyncio.Future[BodyPermit | None]]] = []
        self._enough = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None
        self._log = get_logger()

    def mark(self, entry: ClaimedEntry) -> asyncio.Future[BodyPermit | None]:
        """Permission for this entry's body, committed; None if it must not begin."""
        future: asyncio.Future[BodyPermit | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        elif self._has_company():
            self._enough.set()
        return future

    def _has_company(self) -> bool:
        return len(self._waiting) >= BATCH_SHARE * min(self._handler.bodies, self._inside())

    async def _flush(self) -> None:
        while self._waiting:
            await self._wait_for_company()
            batch, self._waiting = self._waiting[:MAX_BATCH_SIZE], self._waiting[MAX_BATCH_SIZE:]
            permits = await self._permits([entry for entry, future in batch if not future.done()])
            for entry, future in batch:
                if not future.done():
                    permit = permits.get(entry.fence)
                    future.set_result(permit if permit is not None and self._granted(entry) else None)

    async def _wait_for_company(self) -> None:
        self._enough.clear()
        if self._has_company():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BATCH_WAIT_SECONDS):
                await self._enough.wait()

    async def _permits(self, entries: Sequence[ClaimedEntry]) -> dict[Fence, BodyPermit]:
        """The permits of those whose mark is committed; time counts from before it was sent."""
        asked, lapses = self._clock.monotonic(), self._holder.missed_periods
        if not entries or not self._holder.journal.is_writable or not self._holder.may_continue(lapses):
            return {}
        try:
            async with asyncio.timeout(FIRST_BYTE_SECONDS):
                marked = await self._transaction(entries)
        except (DatabaseUnavailableError, TimeoutError):
            self._log.warning("mark_without_database", count=len(entries))
            return {}
        except Exception as error:  # noqa: BLE001 - whatever it is: no mark, no body
            self._log.exception("mark_failed", error=type(error).__name__, count=len(entries))
            return {}
        metrics.MARKED.inc(len(marked))
        permit = BodyPermit(
            first_byte_by=asked + FIRST_BYTE_SECONDS,
            ends=asked + BODY_LEASE.total_seconds() - SETTLING_SECONDS,
            may_continue=partial(self._holder.may_continue, lapses),
        )
        return dict.fromkeys(marked, permit)

    async def _transaction(self, entries: Sequence[ClaimedEntry]) -> set[Fence]:
        async with self._database.write_statement() as connection:
            return await entry_store.mark_entries(
                connection,
                self._holder.boot_id,
                entries,
                wanted=self._handler.still_wanted,
                now=None,
            )
