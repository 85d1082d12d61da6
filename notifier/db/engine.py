"""Connections: one writer and many readers on SQLite, a pool on PostgreSQL, behind the same methods.

Whoever opens `write()` owns the transaction: it commits when the block ends and rolls back when it raises. A database
that cannot be reached is always `DatabaseUnavailableError`, whichever library noticed.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, event, make_url, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from notifier.db.direct import Connection, Direct
from notifier.db.unavailable import unavailable_as_such
from notifier.db.writability import WriteFaults, is_read_only
from notifier.errors import NotifierError

CONNECT_TIMEOUT = 3.0  # seconds; together with the pool's it keeps a refusal under five
POOL_TIMEOUT = 2.0
STATEMENT_TIMEOUT = 60.0
READ_SECONDS = 2.5  # of a server that hangs; the driver takes two more to let go
SQLITE_BUSY_MS = 2000
POOLED, DIRECT = 6, 10
"""A process's connections to PostgreSQL: those of SQLAlchemy, and those that do without it."""

# A plan that is made while a table is empty is kept when it has grown to millions of rows.
_PLANNING = {"jit": "off", "enable_seqscan": "off"}
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")

Result = TypeVar("Result")


def async_url(url: str) -> URL:
    """The URL with the asynchronous driver named, whatever driver or none the user wrote."""
    parsed = make_url(url)
    backend = parsed.get_backend_name().replace("postgres", "postgresql").replace("postgresqlql", "postgresql")
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    return parsed.set(drivername=drivers[backend])


class BrokenReferenceError(NotifierError):
    """A row refers to one that is not there."""


class Database:
    """A database to read from and write to; open it in the event loop that uses it."""

    def __init__(self, url: str) -> None:
        self.url = async_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.folder = Path(self.url.database or "").parent if self.is_sqlite else None  # where SQLite's file is
        self.write_faults = WriteFaults()
        if self.is_sqlite:
            self._writer = _sqlite_engine(self.url, read_only=False, pool_size=1)
            self._reader = _sqlite_engine(self.url, read_only=True, pool_size=4)
        else:
            self._writer = _postgres_engine(self.url, **_pool(POOLED))
            self._direct = Direct(
                _postgres_engine(self.url, poolclass=NullPool), most=DIRECT, failed=self.write_faults.note
            )
            # Where one statement is all, wrapping it into a transaction would cost two more round trips.
            self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write; commits at the end of the block."""
        with unavailable_as_such(), self._noting_faults():
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
        with unavailable_as_such():
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

    def single(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for one writing statement, which on PostgreSQL is a transaction of its own: one round trip."""
        return self.write() if self.is_sqlite else self._direct.statement()

    def single_read(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for one statement that only reads."""
        return self.read() if self.is_sqlite else self._direct.statement(seconds=READ_SECONDS)

    def several(self) -> AbstractAsyncContextManager[Connection]:
        """A transaction like that of `write`, for what is written thousands of times a second."""
        return self.write() if self.is_sqlite else self._direct.transaction()

    async def in_writer(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` as one transaction of SQLite's writer, in its thread: one hop there and back, whatever it does.

        A caller who is cancelled leaves nothing open: what has begun ends in the thread, by commit or rollback.
        """
        with unavailable_as_such(), self._noting_faults():
            async with self._writer.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                try:
                    return await driver._execute(_transact, driver._conn, work)  # type: ignore[no-any-return]  # noqa: SLF001
                except sqlite3.Error as error:
                    raise DBAPIError.instance("in_writer", None, error, sqlite3.Error) from error

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that only reads."""
        with unavailable_as_such():
            async with asyncio.timeout(READ_SECONDS), self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def listening(self, channel: str, heard: Callable[[str], None]) -> AsyncIterator[asyncio.Event]:
        """Hear what is said on a channel of PostgreSQL; the event is set once the connection is lost."""
        lost = asyncio.Event()
        with unavailable_as_such():
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
        async with self.single() as connection:
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


def _postgres_engine(url: URL, **pool: Any) -> AsyncEngine:
    engine = create_async_engine(
        url,
        connect_args={
            "timeout": CONNECT_TIMEOUT,
            "command_timeout": STATEMENT_TIMEOUT,
            "server_settings": _PLANNING | {"application_name": "notifier"},
        },
        **pool,
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def still_open(connection: Any, _record: Any, _proxy: Any) -> None:
        # The event loop has seen a server go away; asking each connection before each use would be a round trip more.
        if connection.driver_connection.is_closed():
            raise DisconnectionError

    @event.listens_for(engine.sync_engine, "handle_error")
    def give_up_read_only(context: Any) -> None:
        # After a failover the connections lead to what is a standby now; new ones are routed to the new primary.
        if is_read_only(context.original_exception):
            context.is_disconnect = True

    return engine


def _pool(size: int) -> dict[str, Any]:
    """How an engine keeps connections; nobody waits for one longer than a caller of ours would."""
    return {
        "poolclass": AsyncAdaptedQueuePool,
        "pool_size": size,
        "max_overflow": 0,
        "pool_timeout": POOL_TIMEOUT,
    }


def _sqlite_engine(url: URL, *, read_only: bool, pool_size: int) -> AsyncEngine:
    engine = create_async_engine(
        url,
        **_pool(pool_size),
        connect_args={"isolation_level": None, "timeout": SQLITE_BUSY_MS / 1000},
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
