"""Writing down how claims ended, many in one transaction; nothing is dropped while the database is away.

A settlement whose record cannot be written, whatever its neighbours, is held for a person: resending is worse.
"""

import asyncio
from collections.abc import Callable, Sequence

from sqlalchemy.exc import DBAPIError

from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.outbox import store
from notifier.outbox.handler import Handler, Hold, Settlement
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

FLUSH_ROWS = 100
FLUSH_SECONDS = 0.02
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits between tries while the database is away; the last one repeats."""


class Settler:
    """Buffers settlements and flushes them at 100 rows or 20 ms."""

    def __init__(self, database: Database, handler: Handler, *, settled: Callable[[int], None]) -> None:
        self._database = database
        self._handler = handler
        self._settled = settled  # told how many left the process, so that the worker can claim again
        self.unwritten = 0  # settlements that were put and are not in the database yet
        self._buffer: list[Settlement] = []
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = False
        self._log = get_logger()

    def put(self, settlement: Settlement) -> None:
        """Take one settlement; it is written soon, or as soon as there is a database."""
        self.unwritten += 1
        self._buffer.append(settlement)
        self._arrived.set()
        if len(self._buffer) >= FLUSH_ROWS:
            self._full.set()

    def close(self) -> None:
        """Let `run` return once everything that was put has been written."""
        self._closing = True
        self._arrived.set()
        self._full.set()

    async def run(self) -> None:
        """Flush until closed and empty."""
        while self._buffer or not self._closing:
            await self._arrived.wait()
            await self._wait_for_company()
            batch, self._buffer = self._buffer[:FLUSH_ROWS], self._buffer[FLUSH_ROWS:]
            if not self._buffer and not self._closing:
                self._arrived.clear()
            if len(self._buffer) < FLUSH_ROWS and not self._closing:
                self._full.clear()
            await self._write(batch)

    async def _wait_for_company(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._full.wait()
        except TimeoutError:
            return

    async def _write(self, batch: Sequence[Settlement]) -> None:
        """Write the batch; halve it on a data error, hold what cannot be written even alone."""
        if not batch:
            return
        try:
            await self._write_when_possible(batch)
        except Exception as error:  # noqa: BLE001 - whatever one record raises, the others are written
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._write(batch[:middle])
                await self._write(batch[middle:])
                return
            entry = batch[0].entry
            self._log.exception("settlement_held", entry_id=str(entry.id), error=type(error).__name__)
            metrics.HELD.inc()
            await self._write_when_possible([Settlement(entry=entry, action=Hold())], record=False)
        self.unwritten -= len(batch)
        self._settled(len(batch))

    async def _write_when_possible(self, batch: Sequence[Settlement], *, record: bool = True) -> None:
        tries = 0
        while True:
            try:
                held = await self._transaction(batch, record=record)
            except (DatabaseUnavailableError, DBAPIError) as error:
                if not isinstance(error, DatabaseUnavailableError):
                    raise
                if tries == 0:
                    self._log.warning("settle_waits_for_database", count=len(batch))
                await asyncio.sleep(RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)])
                tries += 1
            else:
                self._report_lost(batch, held)
                return

    async def _transaction(self, batch: Sequence[Settlement], *, record: bool) -> list[Settlement]:
        async with self._database.write() as connection:
            held = await store.settle(connection, batch)
            if held and record:
                await self._handler.record(connection, held)
        return held

    def _report_lost(self, batch: Sequence[Settlement], held: Sequence[Settlement]) -> None:
        kept = {(s.entry.id, s.entry.lease_no) for s in held}
        for settlement in batch:
            entry = settlement.entry
            if (entry.id, entry.lease_no) not in kept:
                metrics.LEASES_LOST.inc()
                self._log.warning("lease_lost", entry_id=str(entry.id), lease_no=entry.lease_no)
