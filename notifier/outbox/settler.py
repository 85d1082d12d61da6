"""The settler: writes how claims ended, many in one transaction; while the database is away they are kept.

A settlement whose record cannot be written even alone is held for a person, because sending again would be worse.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import ClaimedEntry, Fence, Handler, HoldEntry, LostClaim, Settlement
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

FLUSH_ROWS = 100
FLUSH_SECONDS = 0.02
BUSY_FLUSH_SECONDS = 0.06
"""The same while every slot is taken: more settlements come soon, and each flush costs a commit."""
DATABASE_RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits between tries while the database is away; the last one repeats."""


class Settler:
    """Buffers settlements and flushes them at 100 rows or 20 ms; while every slot is taken, at 60 ms."""

    def __init__(
        self,
        database: Database,
        handler: Handler,
        *,
        on_written: Callable[[Sequence[Settlement]], None],
        is_busy: Callable[[], bool],
    ) -> None:
        self._database = database
        self._handler = handler
        self._on_written = on_written  # called with what has left the process, so that more can be claimed
        self._is_busy = is_busy  # whether every slot is taken
        self.unwritten: dict[Fence, Settlement] = {}  # added, and not in the database yet
        self._buffer: list[Settlement] = []
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = False
        self._log = get_logger()

    def add(self, settlement: Settlement) -> None:
        """Add one settlement; it is written soon, or as soon as there is a database."""
        self.unwritten[settlement.entry.fence] = settlement
        self._buffer.append(settlement)
        self._arrived.set()
        if len(self._buffer) >= FLUSH_ROWS:
            self._full.set()

    def close(self) -> None:
        """Let `run` return once everything that was added has been written."""
        self._closing = True
        self._arrived.set()
        self._full.set()

    async def run(self) -> None:
        """Flush until closed and empty."""
        while self._buffer or not self._closing:
            await self._arrived.wait()
            await self._wait_for_more()
            batch, self._buffer = self._buffer[:FLUSH_ROWS], self._buffer[FLUSH_ROWS:]
            if not self._buffer and not self._closing:
                self._arrived.clear()
            if len(self._buffer) < FLUSH_ROWS and not self._closing:
                self._full.clear()
            await self._write(batch)

    async def _wait_for_more(self) -> None:
        try:
            async with asyncio.timeout(BUSY_FLUSH_SECONDS if self._is_busy() else FLUSH_SECONDS):
                await self._full.wait()
        except TimeoutError:
            return

    async def _write(self, batch: Sequence[Settlement]) -> None:
        """Write the batch; halve it on a data error, and hold what cannot be written even alone."""
        if not batch:
            return
        try:
            await self._retry(lambda connection: write_settlements(connection, self._handler, batch))
        except Exception as error:  # noqa: BLE001 - whatever one record raises, the others are written
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._write(batch[:middle])
                await self._write(batch[middle:])
                return
            entry = batch[0].entry
            self._log.exception("settlement_held", entry_id=str(entry.id), error=type(error).__name__)
            metrics.HELD.inc()
            await self._hold(entry)
        for settlement in batch:
            del self.unwritten[settlement.entry.fence]
        self._on_written(batch)

    async def _hold(self, entry: ClaimedEntry) -> None:
        """Let the handler decide about a result that cannot be written; if that fails, only hold the entry."""

        async def recover(connection: StatementConnection) -> list[Settlement]:
            lost = LostClaim(entry=entry, marked_at=None, unwritable=True)
            return await write_settlements(
                connection, self._handler, await self._handler.recover_lost(connection, [lost])
            )

        async def hold(connection: StatementConnection) -> list[Settlement]:
            await entry_store.settle_entries(connection, [Settlement(entry=entry, action=HoldEntry())])
            return []

        try:
            await self._retry(recover)
        except Exception as error:  # noqa: BLE001 - it must not be sent again, whatever else fails
            self._log.exception("held_without_record", entry_id=str(entry.id), error=type(error).__name__)
            try:
                await self._retry(hold)
            except Exception:  # noqa: BLE001 - its lease expires, and it is rescued as what it is
                self._log.exception("settlement_dropped", entry_id=str(entry.id))

    async def _retry(self, work: Callable[[StatementConnection], Awaitable[list[Settlement]]]) -> None:
        """Run `work` in a transaction until the database is there; it returns the settlements that lost their lease."""
        tries = 0
        while True:
            try:
                async with self._database.direct_transaction() as connection:
                    stale = await work(connection)
            except DatabaseUnavailableError:
                if tries == 0:
                    self._log.warning("settle_waits_for_database", count=len(self.unwritten))
                await asyncio.sleep(DATABASE_RETRY_SECONDS[min(tries, len(DATABASE_RETRY_SECONDS) - 1)])
                tries += 1
            else:
                if tries == 0:  # else an earlier try may have been committed, and only its reply was lost
                    self._report_lost_leases(stale)
                return

    def _report_lost_leases(self, stale: Sequence[Settlement]) -> None:
        for settlement in stale:
            metrics.LEASES_LOST.inc()
            entry = settlement.entry
            self._log.warning(
                "lease_lost",
                entry_id=str(entry.id),
                lease_no=entry.lease_no,
                outcome="proof" if settlement.proof else None,
            )


async def write_settlements(
    connection: StatementConnection, handler: Handler, batch: Sequence[Settlement]
) -> list[Settlement]:
    """Settle and record those whose fence holds, and proofs in any case; return those whose fence did not hold."""
    settled = await entry_store.settle_entries(connection, batch)
    fences = {settlement.entry.fence for settlement in settled}
    stale = [settlement for settlement in batch if settlement.entry.fence not in fences]
    proofs = [settlement for settlement in stale if settlement.proof]
    if proofs:
        await entry_store.delete_proven(connection, [proof.entry for proof in proofs])
    if settled or proofs:
        await handler.record(connection, [*settled, *proofs])
    return stale
