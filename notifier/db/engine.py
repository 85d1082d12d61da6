"""Connections: one writer and many readers on SQLite, a pool on PostgreSQL, behind the same methods.

Whoever opens `write()` owns the transaction: it commits when the block ends and rolls back when it raises. A database
that cannot be reached is always `DatabaseUnavailableError`, whichever library noticed.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aiosqlite
from sqlalchemy import URL, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from notifier.db import data_directory
from notifier.db.database_url import PostgresAddress, SqliteAddress, parse_database_url
from notifier.db.direct_connections import DirectPool, StatementConnection
from notifier.db.postgres_connector import PostgresConnector
from notifier.db.unavailability import convert_database_errors
from notifier.db.write_faults import WriteFaults
from notifier.errors import ConfigurationError, NotifierError

POOL_TIMEOUT = 2.0
READ_TIMEOUT = 2.5  # of a server that hangs; the driver takes two more to let go
SQLITE_BUSY_MS = 2000
POOLED_CONNECTIONS, DIRECT_CONNECTIONS, INSPECTION_CONNECTIONS = 6, 10, 2
"""A process's connections to PostgreSQL: those of SQLAlchemy, those without it, and those of readiness and metrics."""

# A plan that is made while a table is empty is kept when it has grown to millions of rows.
_PLANNING = {"jit": "off", "enable_seqscan": "off"}
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")

Result = TypeVar("Result")


class BrokenReferenceError(NotifierError):
    """A row refers to one that is not there."""


class Database:
    """A database to read from and write to; open it in the event loop that uses it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.address = parse_database_url(url)
        self.write_faults = WriteFaults()
        if isinstance(self.address, PostgresAddress):
            self.is_sqlite = False
            self._connector = PostgresConnector(self.address, session=_PLANNING)
            self._writer = self._connector.create_engine(**_pool(POOLED_CONNECTIONS))
            unpooled = self._connector.create_engine(poolclass=NullPool)
            self._direct = DirectPool(unpooled, self.address, most=DIRECT_CONNECTIONS, on_error=self.write_faults.note)
            # Where one statement is all, wrapping it into a transaction would cost two more round trips.
            self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")
            inspector = self._connector.create_engine(**_pool(INSPECTION_CONNECTIONS))
            self._inspector = inspector.execution_options(isolation_level="AUTOCOMMIT")
        else:
            self.is_sqlite = True
            self._writer = _sqlite_engine(self.address, read_only=False, pool_size=1)
            self._reader = _sqlite_engine(self.address, read_only=True, pool_size=4)
            self._inspector = _sqlite_engine(self.address, read_only=True, pool_size=INSPECTION_CONNECTIONS)

    @property
    def folder(self) -> Path | None:
        """Where SQLite's file is."""
        return self.address.path.absolute().parent if isinstance(self.address, SqliteAddress) else None

    @property
    def is_missing(self) -> bool:
        """True before the first migration on SQLite, which makes the file."""
        return isinstance(self.address, SqliteAddress) and self.address.is_missing

    def create_file(self) -> None:
        """Make SQLite's file, and its directory, if they are missing; nothing but a migration does."""
        if isinstance(self.address, SqliteAddress):
            data_directory.create_directory(self.address.path.absolute().parent)
            try:
                self.address.path.touch(mode=0o600)  # which its WAL, SHM and journal files get too
            except OSError as error:
                reason = data_directory.describe_os_error(error)
                raise ConfigurationError(
                    f"{self.address.place} cannot be made: {reason}; {data_directory.DIRECTORY_ADVICE}"
                ) from error

    async def is_pooled(self) -> bool:
        """True behind a pooler of connections, through which no notifications come."""
        if self.is_sqlite:
            return False
        with convert_database_errors(self.address):
            return await self._connector.is_pooled()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write; commits at the end of the block."""
        with convert_database_errors(self.address), self._noting_faults():
            async with self._writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def rebuild(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may rebuild tables to which others refer; what refers to nothing at its end raises.

        SQLite counts each reference to a table that is dropped as broken, also when the table comes back under its
        name; that can only be turned off outside of a transaction (sqlite.org/lang_altertable.html §7).
        """
        if not self.is_sqlite:
            async with self.write() as connection:
                yield connection
            return
        with convert_database_errors(self.address):
            async with self._writer.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                await driver.execute("PRAGMA foreign_keys=OFF")
                try:
                    async with connection.begin():
                        yield connection
                        if broken := (await connection.exec_driver_sql("PRAGMA foreign_key_check")).all():
                            raise BrokenReferenceError(str(broken[0]))
                finally:
                    await driver.execute("PRAGMA foreign_keys=ON")

    def write_statement(self) -> AbstractAsyncContextManager[StatementConnection]:
        """A connection for one writing statement, which on PostgreSQL is a transaction of its own: one round trip."""
        return self.write() if self.is_sqlite else self._direct.open_statement()

    def read_statement(self) -> AbstractAsyncContextManager[StatementConnection]:
        """A connection for one statement that only reads."""
        return self.read() if self.is_sqlite else self._direct.open_statement(seconds=READ_TIMEOUT)

    def direct_transaction(self) -> AbstractAsyncContextManager[StatementConnection]:
        """A transaction like that of `write`, for what is written thousands of times a second."""
        return self.write() if self.is_sqlite else self._direct.open_transaction()

    async def run_in_writer(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` as one transaction of SQLite's writer, in its thread: one hop there and back, whatever it does.

        A caller who is cancelled leaves nothing open: what has begun ends in the thread, by commit or rollback.
        """
        with convert_database_errors(self.address), self._noting_faults():
            async with self._writer.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                try:
                    return await driver._execute(_transact, driver._conn, work)  # type: ignore[no-any-return]
                except sqlite3.Error as error:
                    raise DBAPIError.instance("in_writer", None, error, sqlite3.Error) from error

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that only reads."""
        with convert_database_errors(self.address):
            async with asyncio.timeout(READ_TIMEOUT), self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def inspect(self) -> AsyncIterator[AsyncConnection]:
        """A connection that only reads and is none of the callers': for readiness and metrics, open to strangers."""
        with convert_database_errors(self.address):
            async with asyncio.timeout(READ_TIMEOUT), self._inspector.connect() as connection:
                yield connection

    @asynccontextmanager
    async def listen(self, channel: str, heard: Callable[[str], None]) -> AsyncIterator[asyncio.Event]:
        """Hear what is said on a channel of PostgreSQL; the event is set once the connection is lost."""
        lost = asyncio.Event()
        with convert_database_errors(self.address):
            async with self._reader.connect() as connection:
                raw: Any = (await connection.get_raw_connection()).driver_connection
                raw.add_termination_listener(lambda _: lost.set())
                await raw.add_listener(channel, lambda _connection, _pid, _channel, payload: heard(payload))
                try:
                    yield lost
                finally:
                    await connection.invalidate()  # what listens is not given to anybody else

    async def notify(self, channel: str, payload: str) -> None:
        """Say something on a channel of PostgreSQL, in a transaction of its own."""
        async with self.write_statement() as connection:
            await connection.execute(_NOTIFY, {"channel": channel, "payload": payload})

    @contextmanager
    def _noting_faults(self) -> Iterator[None]:
        """Remember a failure that says that nothing can be written."""
        try:
            yield
        except Exception as error:
            self.write_faults.note(error)
            raise

    async def close(self) -> None:
        """Close every connection."""
        if not self.is_sqlite:
            await self._direct.close()
        await self._writer.dispose()
        await self._reader.dispose()
        await self._inspector.dispose()

    def pool_in_use(self) -> int:
        """How many pooled connections are out at this moment."""
        pools = {self._writer.pool, self._reader.pool}
        return sum(pool.checkedout() for pool in pools if isinstance(pool, AsyncAdaptedQueuePool))


def _transact(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], Result]) -> Result:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.rollback()
    return result


def _pool(size: int) -> dict[str, Any]:
    """How an engine keeps connections; nobody waits for one longer than a caller of ours would."""
    return {
        "poolclass": AsyncAdaptedQueuePool,
        "pool_size": size,
        "max_overflow": 0,
        "pool_timeout": POOL_TIMEOUT,
    }


async def _open_sqlite(*args: Any, **options: Any) -> aiosqlite.Connection:
    """A connection; the thread of one that cannot be opened has ended, so that it reports to no loop that is closed."""
    connection = aiosqlite.connect(*args, **options)
    thread = connection._thread
    thread.daemon = True
    try:
        return await connection
    except sqlite3.Error:
        await asyncio.to_thread(thread.join)
        raise


def _sqlite_engine(address: SqliteAddress, *, read_only: bool, pool_size: int) -> AsyncEngine:
    # As a URI, because `mode=rw` opens a file and never makes one; a path is quoted, whatever it is called.
    file = f"file:{quote(os.fsencode(address.path.absolute()))}"
    url = URL.create("sqlite+aiosqlite", database=file, query={"mode": "rw", "uri": "true"})
    engine = create_async_engine(
        url,
        **_pool(pool_size),
        hide_parameters=True,
        connect_args={
            "isolation_level": None,
            "timeout": SQLITE_BUSY_MS / 1000,
            "async_creator_fn": _open_sqlite,
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        pragmas = ["foreign_keys=ON", f"busy_timeout={SQLITE_BUSY_MS}"]
        if read_only:
            # Several connections that checkpoint can corrupt the WAL in SQLite before 3.51.3: only the writer does.
            pragmas += ["wal_autocheckpoint=0", "query_only=ON"]
        else:
            pragmas += ["journal_mode=WAL", "synchronous=FULL"]
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        # IMMEDIATE, because a deferred transaction that starts to write late loses updates to a concurrent one.
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine
