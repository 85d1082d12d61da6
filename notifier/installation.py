"""What every process has: the settings, the open database, the clock, and what wakes its sender. Light to import."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from notifier.clock import Clock, SystemClock
from notifier.db.clock import DatabaseClock
from notifier.db.engine import Database
from notifier.outbox.drain import Drain
from notifier.outbox.hint import Announcer
from notifier.outbox.wake import Wake
from notifier.settings import Settings
from notifier.shipped import shipped


@dataclass(frozen=True, kw_only=True)
class Base:
    """The parts that every process has."""

    settings: Settings
    database: Database
    clock: Clock
    wake: Wake  # wakes the sender of this process
    ending: AsyncExitStack  # closes what was opened on top of these parts
    announce: Announcer  # wakes the senders of all processes when an entry becomes due
    drain: Drain  # the throughput of this process's sender


@asynccontextmanager
async def base(settings: Settings) -> AsyncIterator[Base]:
    """Open the parts of a process until the block ends. The database must have been migrated."""
    database = Database(settings.effective_database_url)
    try:
        async with _run_clock(database) as clock:
            wake = Wake()
            announcer = Announcer(database, wake)
            async with AsyncExitStack() as ending:
                ending.push_async_callback(announcer.close)
                yield Base(
                    settings=settings,
                    database=database,
                    clock=clock,
                    wake=wake,
                    ending=ending,
                    announce=announcer,
                    drain=Drain(),
                )
    finally:
        await database.close()


@asynccontextmanager
async def _run_clock(database: Database) -> AsyncIterator[Clock]:
    """Run the clock that all processes of the database share: the database's, or on SQLite the host's."""
    if database.is_sqlite:
        yield SystemClock()
        return
    clock = DatabaseClock(database, SystemClock())
    await clock.look()
    synchronizing = asyncio.create_task(clock.keep())
    try:
        yield clock
    finally:
        synchronizing.cancel()
        await asyncio.wait({synchronizing})


def templates_dir(settings: Settings) -> Path:
    """Find the directory of template files: as set, else `templates/`, else the shipped one."""
    local = Path("templates")
    return settings.templates_dir or (local if local.is_dir() else shipped("templates"))
