"""The parts that every process has: settings, database, clock and wake-ups. This module is quick to import."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from notifier.clock import Clock, SystemClock
from notifier.db.connection_pool import divide_connections
from notifier.db.database_clock import DatabaseClock
from notifier.db.engine import Database
from notifier.lookup.standby_reader import StandbyReader
from notifier.outbox.heartbeat import ThroughputEstimate
from notifier.outbox.wakeup import Wakeup, WakeupNotifier
from notifier.settings import Settings
from notifier.telemetry import metrics


@dataclass(frozen=True, kw_only=True)
class ProcessParts:
    """The parts that every process has."""

    settings: Settings
    database: Database
    clock: Clock
    wakeup: Wakeup  # wakes the sender of this process
    exit_stack: AsyncExitStack  # closes what was opened on top of these parts
    announcer: WakeupNotifier  # wakes the senders of all processes when an entry becomes due
    throughput: ThroughputEstimate  # the throughput of this process's sender
    standby: StandbyReader  # for what may be a few seconds old

    def receive_hint(self) -> None:
        """Wake the sender of this process, because its Celery worker has received a hint."""
        metrics.HINTS.labels("received").inc()
        self.wakeup()


@asynccontextmanager
async def open_process_parts(settings: Settings, *, has_api: bool = True) -> AsyncIterator[ProcessParts]:
    """Open the parts of a process until the block ends. The database must have been migrated.

    `has_api`: False for a process that only sends; it has no console, so it leaves the console no connections.
    """
    has_console = has_api and settings.console.enabled
    shares = divide_connections(settings.database_connections, has_console=has_console)
    database = Database(settings.effective_database_url, shares=shares)
    read_url = settings.database_read_url.get_secret_value() if settings.database_read_url and has_api else None
    standby = StandbyReader(database, read_url)
    try:
        async with _run_clock(database) as clock:
            wakeup = Wakeup()
            announcer = WakeupNotifier(database, wakeup)
            async with AsyncExitStack() as exit_stack:
                exit_stack.push_async_callback(announcer.close)
                yield ProcessParts(
                    settings=settings,
                    database=database,
                    clock=clock,
                    wakeup=wakeup,
                    exit_stack=exit_stack,
                    announcer=announcer,
                    throughput=ThroughputEstimate(),
                    standby=standby,
                )
    finally:
        await standby.close()
        await database.close()


@asynccontextmanager
async def _run_clock(database: Database) -> AsyncIterator[Clock]:
    """Run the clock that all processes of the database share: the database's, or on SQLite the host's."""
    if database.is_sqlite:
        yield SystemClock()
        return
    clock = DatabaseClock(database, SystemClock())
    await clock.synchronize()
    synchronizing = asyncio.create_task(clock.keep_synchronized())
    try:
        yield clock
    finally:
        synchronizing.cancel()
        await asyncio.wait({synchronizing})
