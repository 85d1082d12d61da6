"""An installation as its settings describe it: database, clock, identity and template files; light to import."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from notifier import address
from notifier.clock import Clock, SystemClock
from notifier.db.clock import DatabaseClock
from notifier.db.engine import Database
from notifier.errors import ConfigurationError
from notifier.outbox.drain import Drain
from notifier.outbox.hint import Announcer
from notifier.outbox.wake import Wake
from notifier.settings import Settings
from notifier.shipped import shipped


@dataclass(frozen=True, kw_only=True)
class SenderIdentity:
    """Who mail comes from unless a notification says otherwise."""

    name: str | None
    address: str
    bounce_address: str | None  # envelope sender; None: the From address


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


def identity(settings: Settings) -> SenderIdentity:
    """The instance's own sender. Raises `ConfigurationError` if it is not an address."""
    try:
        name, sender = address.with_name(settings.from_)
        bounce = address.normalised(settings.bounce_address) if settings.bounce_address else None
    except address.InvalidAddressError as error:
        raise ConfigurationError(f"NOTIFIER_FROM or NOTIFIER_BOUNCE_ADDRESS: {error}") from error
    return SenderIdentity(name=name, address=sender, bounce_address=bounce)
