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
    """What every process has."""

    settings: Settings
    database: Database
    clock: Clock
    wake: Wake  # what the sender of this process listens to
    ending: AsyncExitStack  # what is to be closed with them
    announce: Announcer  # tells it, and the senders of other processes, that something has become due
    drain: Drain  # how fast the sender of this process works


@asynccontextmanager
async def base(settings: Settings) -> AsyncIterator[Base]:
    """Open the database, which a migration has made."""
    database = Database(settings.effective_database_url)
    try:
        async with _clock(database) as clock:
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
async def _clock(database: Database) -> AsyncIterator[Clock]:
    """The clock that all processes on this database share: its own; on SQLite that is the host's."""
    if database.is_sqlite:
        yield SystemClock()
        return
    clock = DatabaseClock(database, SystemClock())
    await clock.look()
    keeping = asyncio.create_task(clock.keep())
    try:
        yield clock
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


def templates_dir(settings: Settings) -> Path:
    """Where template files are read from."""
    here = Path("templates")
    return settings.templates_dir or (here if here.is_dir() else shipped("templates"))
