"""PostgreSQL without SQLAlchemy in between, for the few statements of which there are thousands a second.

A statement through SQLAlchemy's asynchronous engine costs a process five times what the driver alone does. The
connections are made by an engine all the same, so that both see the same server in the same way, and kept here.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Any, NamedTuple, Protocol

import asyncpg
from sqlalchemy import ClauseElement, TextClause
from sqlalchemy.dialects.postgresql import asyncpg as adapter
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from notifier.db.database_url import DatabaseAddress
from notifier.db.error_explanations import explain_database_error
from notifier.db.unavailability import DATABASE_ERRORS, convert_database_error
from notifier.db.write_faults import is_read_only
from notifier.errors import DatabaseUnavailableError

WAIT_SECONDS = 2.0
"""How long one waits for a connection while others use them all."""
CLOSE_SECONDS = 1.0
_DIALECT = adapter.dialect()  # type: ignore[no-untyped-call]


class StatementConnection(Protocol):
    """What a function needs that runs statements and never commits: SQLAlchemy's connection, or a direct one."""

    @property
    def dialect(self) -> Any:
        """Which database it is, by `name`."""

    async def execute(self, statement: Any, values: Any = None, /) -> Any:
        """Run one statement."""


class RecordRow(asyncpg.Record):  # type: ignore[misc]
    """A row as the driver gives it, whose columns are attributes as well."""

    def __getattr__(self, name: str) -> Any:
        """The column of this name."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class StatementResult:
    """What a statement returned, read like a result of SQLAlchemy's."""

    def __init__(self, rows: Sequence[RecordRow]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[RecordRow]:
        return iter(self._rows)

    def all(self) -> Sequence[RecordRow]:
        """Every row."""
        return self._rows

    def mappings(self) -> Sequence[RecordRow]:
        """Every row, read by the names of its columns."""
        return self._rows

    def first(self) -> RecordRow | None:
        """The first row, if there is one."""
        return self._rows[0] if self._rows else None


class DirectConnection:
    """One connection of the driver's own; it runs statements with the parameters by name that SQLAlchemy would take.

    The rows come as the driver gives them: a closed set is text, and JSON too.
    """

    dialect = _DIALECT

    def __init__(self, driver: Any) -> None:
        self.driver = driver  # asyncpg's
        self.seconds: float | None = None  # the longest that a statement may take; None: as the connection was made

    async def execute(self, statement: ClauseElement, values: Mapping[str, Any] | None = None, /) -> StatementResult:
        """Run one statement."""
        known = _compile_cached(statement) if isinstance(statement, TextClause) else _compile_statement(statement)
        given = values or known.values
        arguments = [known.convert[name](given[name]) if name in known.convert else given[name] for name in known.names]
        return StatementResult(
            await self.driver.fetch(known.sql, *arguments, timeout=self.seconds, record_class=RecordRow)
        )


class _DriverStatement(NamedTuple):
    """A statement as the driver takes it."""

    sql: str
    names: Sequence[str]  # of `$1`, `$2`, …
    convert: Mapping[str, Any]  # how to convert those that need it
    values: Mapping[str, Any]  # its own


def _compile_statement(statement: ClauseElement) -> _DriverStatement:
    compiled: Any = statement.compile(dialect=_DIALECT)
    convert = compiled._bind_processors  # noqa: SLF001 - the converters that SQLAlchemy uses
    return _DriverStatement(str(compiled), tuple(compiled.positiontup or ()), convert, compiled.params)


_compile_cached = cache(_compile_statement)
"""By identity: a text is made once, and kept."""


class DirectPool:
    """A few connections, kept open; each is used by one statement or transaction at a time."""

    def __init__(
        self, engine: AsyncEngine, address: DatabaseAddress, *, most: int, on_error: Callable[[BaseException], None]
    ) -> None:
        self._engine = engine  # makes connections, and keeps none
        self.address = address
        self.on_error = on_error  # told of every error of a statement
        self._room = asyncio.Semaphore(most)
        self._idle: list[DirectConnection] = []

    def open_statement(self, *, seconds: float | None = None) -> "PooledConnection":
        """A connection on which each statement is a transaction of its own, if need be within so many seconds."""
        return PooledConnection(self, seconds=seconds)

    def open_transaction(self) -> "PooledConnection":
        """A connection in a transaction, which commits at the end of the block."""
        return PooledConnection(self, in_transaction=True)

    async def close(self) -> None:
        """Close what nobody uses."""
        idle, self._idle = self._idle, []
        for connection in idle:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await connection.driver.close(timeout=CLOSE_SECONDS)
        await self._engine.dispose()

    async def acquire(self) -> DirectConnection:
        """An open connection, the one used last if there is one; for `Use`. Raises `DatabaseUnavailableError`.

        Whatever keeps a connection from being opened, nothing was asked of the database, so it may be asked again.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS if self._room.locked() else None):
                await self._room.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailableError from error
        try:
            while self._idle:
                connection = self._idle.pop()
                if not connection.driver.is_closed():  # the event loop has seen the server go away
                    return connection
            proxy = await self._engine.raw_connection()
            connection = DirectConnection(proxy.driver_connection)
            proxy.detach()  # from now on it is ours
        except BaseException as error:
            self._room.release()
            if isinstance(error, Exception):
                raise DatabaseUnavailableError(explain_database_error(error, self.address)) from error
            raise
        return connection

    def release(self, connection: DirectConnection, *, whole: bool) -> None:
        """Keep it for the next one, or cut it, if nobody knows what it is in the middle of."""
        if whole:
            self._idle.append(connection)
        else:
            connection.driver.terminate()
        self._room.release()


class PooledConnection:
    """One use of a connection; errors come out as those of `unavailable_as_such`."""

    def __init__(self, direct: DirectPool, *, in_transaction: bool = False, seconds: float | None = None) -> None:
        self._direct = direct
        self._in_transaction = in_transaction
        self._seconds = seconds

    async def __aenter__(self) -> DirectConnection:
        """Take a connection, and begin."""
        self._connection = await self._direct.acquire()
        self._connection.seconds = self._seconds
        if self._in_transaction:
            await self._execute("BEGIN")
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or roll back, and give the connection back."""
        if error is not None:
            self._direct.on_error(error)
        # Whoever was cancelled, or has waited too long, leaves a statement under way. After a failover, what takes no
        # writes leads to a standby.
        broken = _is_lost_connection(error) or isinstance(error, (asyncio.CancelledError, TimeoutError))
        whole = not (broken or is_read_only(error))
        if self._in_transaction and whole:
            await self._execute("COMMIT" if error is None else "ROLLBACK")
        self._direct.release(self._connection, whole=whole)
        if isinstance(error, Exception) and (meant := _translate_error(error, self._direct.address)) is not error:
            raise meant from error

    async def _execute(self, word: str) -> None:
        try:
            await self._connection.driver.execute(word)
        except BaseException as error:
            self._direct.on_error(error)
            self._direct.release(self._connection, whole=False)
            raise _translate_error(error, self._direct.address) from error


def _is_lost_connection(error: BaseException | None) -> bool:
    """The driver's words for a connection that is closed or out of step; a `ValueError` is about a parameter."""
    lost = isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError))
    return lost and not isinstance(error, ValueError)


def _translate_error(error: BaseException, address: DatabaseAddress) -> BaseException:
    """The error that SQLAlchemy would have raised, or what that means."""
    if _is_lost_connection(error):
        return DatabaseUnavailableError()
    if isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError)):
        kind = IntegrityError if isinstance(error, asyncpg.IntegrityConstraintViolationError) else DBAPIError
        error = kind("direct", None, error)
    return convert_database_error(error, address) if isinstance(error, DATABASE_ERRORS) else error
