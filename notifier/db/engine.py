"""Connections: one writer and several readers on SQLite, pools on PostgreSQL, with the same methods.

`write()` is a transaction: it commits at the end of the block, and rolls back if the block raises. A database that
cannot be reached raises `DatabaseUnavailableError`, whichever library reports it.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from notifier.db import data_directory
from notifier.db.connection_pool import ConnectionShares, build_pool_options, divide_connections
from notifier.db.database_errors import WriteFaults, convert_database_errors
from notifier.db.database_url import PostgresAddress, SqliteAddress, parse_database_url
from notifier.db.direct_connections import DirectPool, PooledConnection, StatementConnection
from notifier.db.postgres_connector import PostgresConnector
from notifier.db.sqlite_engine import create_sqlite_engine, run_transaction
from notifier.errors import ConfigurationError, NotifierError
from notifier.settings import DEFAULT_DATABASE_CONNECTIONS

READ_TIMEOUT = 2.5  # if the server hangs, the driver takes two seconds more
DEFAULT_SHARES = divide_connections(DEFAULT_DATABASE_CONNECTIONS)
_SQLITE_READERS = 4

# PostgreSQL keeps a plan that it made while a table was empty, even if the table has millions of rows later.
PLANNING = {"jit": "off", "enable_seqscan": "off"}
# A host that loses power or network says no goodbye. In seconds: PostgreSQL rolls back what it had begun before others
# consider its senders dead, and frees its connections. Otherwise both would stay for hours.
_VANISHED_HOST = {
    "idle_in_transaction_session_timeout": "20s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")

Result = TypeVar("Result")
OpenReader = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
"""Opens a connection for reading: `Database.read`, or for the console one of its few."""


class BrokenReferenceError(NotifierError):
    """A row refers to a row that does not exist."""


class Database:
    """A database. Create it in the event loop that uses it."""

    def __init__(self, url: str, *, shares: ConnectionShares = DEFAULT_SHARES) -> None:
        self.url = url
        self.address = parse_database_url(url)
        self.shares = shares
        self.write_faults = WriteFaults()
        if isinstance(self.address, PostgresAddress):
            self.is_sqlite = False
            self._connector = PostgresConnector(self.address, session=PLANNING | _VANISHED_HOST)
            self._writer = self._connector.create_engine(**build_pool_options(shares.ordinary))
            unpooled = self._connector.create_engine(poolclass=NullPool)
            self._direct = DirectPool(
                unpooled, self.address, max_connections=shares.direct, on_error=self.write_faults.note
            )
            # A transaction around a single statement would cost two more round trips.
            self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")
            inspector = self._connector.create_engine(**build_pool_options(shares.inspection))
            self._inspector = inspector.execution_options(isolation_level="AUTOCOMMIT")
            for_staff = self._connector.create_engine(**build_pool_options(shares.staff)) if shares.staff else inspector
            self._staff_reader = for_staff.execution_options(isolation_level="AUTOCOMMIT")
            self._connector.on_full = self._direct.drop_idle
        else:
            self.is_sqlite = True
            self._writer = create_sqlite_engine(self.address, read_only=False, pool_size=1)
            self._reader = create_sqlite_engine(self.address, read_only=True, pool_size=_SQLITE_READERS)
            self._inspector = create_sqlite_engine(self.address, read_only=True, pool_size=DEFAULT_SHARES.inspection)
            self._staff_reader = create_sqlite_engine(self.address, read_only=True, pool_size=DEFAULT_SHARES.staff)

    @property
    def folder(self) -> Path | None:
        """The directory of SQLite's file; None on PostgreSQL."""
        return self.address.path.absolute().parent if isinstance(self.address, SqliteAddress) else None

    @property
    def is_missing(self) -> bool:
        """True on SQLite before the first migration, which creates the file."""
        return isinstance(self.address, SqliteAddress) and self.address.is_missing

    def create_file(self) -> None:
        """Create SQLite's file and its directory if they are missing. Only migrations do this."""
        if isinstance(self.address, SqliteAddress):
            data_directory.create_directory(self.address.path.absolute().parent)
            try:
                self.address.path.touch(mode=0o600)  # which its WAL, SHM and journal files get too
            except OSError as error:
                reason = data_directory.describe_os_error(error)
                raise ConfigurationError(
                    f"{self.address.place} cannot be created: {reason}; {data_directory.DIRECTORY_ADVICE}"
                ) from error

    async def is_pooled(self) -> bool:
        """True behind a connection pooler, which passes on no notifications of PostgreSQL."""
        if self.is_sqlite:
            return False
        with convert_database_errors(self.address):
            return await self._connector.is_pooled()

    @property
    def name_prefix(self) -> str:
        """What the names of this installation's sessions on PostgreSQL begin with."""
        return self._connector.name_prefix

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction, which commits at the end of the block."""
        with convert_database_errors(self.address), self._recording_faults():
            async with self._writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def rebuild(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that may rebuild tables to which others refer. Raises `BrokenReferenceError` at its end.

        SQLite counts references to a dropped table as broken, even if it is created again. This can only be turned off
        outside of a transaction (sqlite.org/lang_altertable.html §7).
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
        """Open a connection for one writing statement; on PostgreSQL it is its own transaction, in one round trip."""
        return self.write() if self.is_sqlite else PooledConnection(self._direct)

    def read_statement(self) -> AbstractAsyncContextManager[StatementConnection]:
        """Open a connection for one reading statement."""
        return self.read() if self.is_sqlite else PooledConnection(self._direct, seconds=READ_TIMEOUT)

    def direct_transaction(self) -> AbstractAsyncContextManager[StatementConnection]:
        """Open a transaction like `write`, for statements that run thousands of times a second."""
        return self.write() if self.is_sqlite else PooledConnection(self._direct, in_transaction=True)

    async def run_in_writer(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` as one transaction in the thread of SQLite's writer, with a single change of threads.

        If the caller is cancelled, the transaction still ends in the thread, by commit or rollback.
        """
        with convert_database_errors(self.address), self._recording_faults():
            async with self._writer.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                try:
                    return await driver._execute(run_transaction, driver._conn, work)  # type: ignore[no-any-return]  # noqa: SLF001
                except sqlite3.Error as error:
                    raise DBAPIError.instance("in_writer", None, error, sqlite3.Error) from error

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for reading."""
        with convert_database_errors(self.address):
            async with asyncio.timeout(READ_TIMEOUT), self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def inspect(self) -> AsyncIterator[AsyncConnection]:
        """Open a reading connection that callers do not share: for readiness and metrics, which are public."""
        with convert_database_errors(self.address):
            async with asyncio.timeout(READ_TIMEOUT), self._inspector.connect() as connection:
                yield connection

    @asynccontextmanager
    async def read_for_staff(self) -> AsyncIterator[AsyncConnection]:
        """Open a reading connection that callers do not share: for the console, whose pages may be slow."""
        with convert_database_errors(self.address):
            async with asyncio.timeout(READ_TIMEOUT), self._staff_reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def listen(self, channel: str, on_payload: Callable[[str], None]) -> AsyncIterator[asyncio.Event]:
        """Listen to a channel of PostgreSQL. The event is set when the connection is lost."""
        lost = asyncio.Event()
        with convert_database_errors(self.address):
            async with self._reader.connect() as connection:
                raw: Any = (await connection.get_raw_connection()).driver_connection
                raw.add_termination_listener(lambda _: lost.set())
                await raw.add_listener(channel, lambda _connection, _pid, _channel, payload: on_payload(payload))
                try:
                    yield lost
                finally:
                    await connection.invalidate()  # so that no other caller gets a connection that listens

    async def notify(self, channel: str, payload: str) -> None:
        """Send a payload to a channel of PostgreSQL, in its own transaction."""
        async with self.write_statement() as connection:
            await connection.execute(_NOTIFY, {"channel": channel, "payload": payload})

    @contextmanager
    def _recording_faults(self) -> Iterator[None]:
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
        await self._staff_reader.dispose()

    def pool_in_use(self) -> int:
        """Count the pooled connections that are in use."""
        pools = {self._writer.pool, self._reader.pool}
        return sum(pool.checkedout() for pool in pools if isinstance(pool, AsyncAdaptedQueuePool))
