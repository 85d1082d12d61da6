"""An installation as its settings describe it: database, clock, identity and template files; light to import."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from notifier import email_address
from notifier.clock import Clock, SystemClock
from notifier.db.database_clock import DatabaseClock
from notifier.db.engine import Database
from notifier.errors import ConfigurationError
from notifier.outbox.throughput import ThroughputEstimate
from notifier.outbox.wakeup import Wakeup, WakeupNotifier
from notifier.settings import Settings
from notifier.shipped_files import find_shipped_directory


@dataclass(frozen=True, kw_only=True)
class DefaultSender:
    """Who mail comes from unless a notification says otherwise."""

    name: str | None
    address: str
    bounce_address: str | None  # envelope sender; None: the From address


@dataclass(frozen=True, kw_only=True)
class ProcessParts:
    """What every process has."""

    settings: Settings
    database: Database
    clock: Clock
    wakeup: Wakeup  # what the sender of this process listens to
    exit_stack: AsyncExitStack  # what is to be closed with them
    announcer: WakeupNotifier  # tells it, and the senders of other processes, that something has become due
    throughput: ThroughputEstimate  # how fast the sender of this process works


@asynccontextmanager
async def open_process_parts(settings: Settings) -> AsyncIterator[ProcessParts]:
    """Open the database, which a migration has made."""
    database = Database(settings.effective_database_url)
    try:
        async with _clock(database) as clock:
            wake = Wakeup()
            announcer = WakeupNotifier(database, wake)
            async with AsyncExitStack() as ending:
                ending.push_async_callback(announcer.close)
                yield ProcessParts(
                    settings=settings,
                    database=database,
                    clock=clock,
                    wakeup=wake,
                    exit_stack=ending,
                    announcer=announcer,
                    throughput=ThroughputEstimate(),
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
    await clock.synchronize()
    keeping = asyncio.create_task(clock.keep_synchronized())
    try:
        yield clock
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


def find_templates_directory(settings: Settings) -> Path:
    """Where template files are read from."""
    here = Path("templates")
    return settings.templates_dir or (here if here.is_dir() else find_shipped_directory("templates"))


def get_default_sender(settings: Settings) -> DefaultSender:
    """The instance's own sender. Raises `ConfigurationError` if it is not an address."""
    try:
        name, sender = email_address.parse_named_address(settings.from_)
        bounce = email_address.normalise_address(settings.bounce_address) if settings.bounce_address else None
    except email_address.InvalidAddressError as error:
        raise ConfigurationError(f"NOTIFIER_FROM or NOTIFIER_BOUNCE_ADDRESS: {error}") from error
    return DefaultSender(name=name, address=sender, bounce_address=bounce)
