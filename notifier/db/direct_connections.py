"""PostgreSQL without SQLAlchemy, for the few statements that run thousands of times a second.

A statement through SQLAlchemy's asynchronous engine costs five times the CPU time of the driver alone. An engine opens
the connections nevertheless, so that both use the same server and settings.
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

from notifier.db.database_errors import DATABASE_ERRORS, convert_database_error, explain_database_error, is_read_only
from notifier.db.database_url import DatabaseAddress
from notifier.errors import DatabaseUnavailableError

WAIT_SECONDS = 2.0
"""Seconds that a caller waits for a connection while all are in use."""
CLOSE_SECONDS = 1.0
_DIALECT = adapter.dialect()  # type: ignore[no-untyped-call]


class StatementConnection(Protocol):
    """A connection that runs statements: SQLAlchemy's or a direct one. Functions that take it never commit."""

    @property
    def dialect(self) -> Any:
        """Which database it is, by `name`."""

    async def execute(self, statement: Any, values: Any = None, /) -> Any:
        """Run one statement."""


class RecordRow(asyncpg.Record):  # type: ignore[misc]
    """A row of the driver whose columns can also be read as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class StatementResult:
    """The rows of a statement, with the methods of SQLAlchemy's result that we use."""

    def __init__(self, rows: Sequence[RecordRow]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[RecordRow]:
        return iter(self._rows)

    def all(self) -> Sequence[RecordRow]:
        """Every row."""
        return self._rows

    def mappings(self) -> Sequence[RecordRow]:
        """Every row; columns can be read by name."""
        return self._rows

    def first(self) -> RecordRow | None:
        """The first row, or None."""
        return self._rows[0] if self._rows else None


class DirectConnection:
    """A connection of the driver that runs SQLAlchemy's statements.

    Values are not converted on the way out: enumerations and JSON come as text.
    """

    dialect = _DIALECT

    def __init__(self, driver: Any) -> None:
        self.driver = driver  # asyncpg's
        self.seconds: float | None = None  # timeout of a statement; None: the connection's default

    async def execute(self, statement: ClauseElement, values: Mapping[str, Any] | None = None, /) -> StatementResult:
        """Run one statement."""
        compiled = _compile_cached(statement) if isinstance(statement, TextClause) else _compile_statement(statement)
        values, convert = values or compiled.values, compiled.convert
        arguments = [convert[name](values[name]) if name in convert else values[name] for name in compiled.names]
        return StatementResult(
            await self.driver.fetch(compiled.sql, *arguments, timeout=self.seconds, record_class=RecordRow)
        )


class _DriverStatement(NamedTuple):
    sql: str
    names: Sequence[str]  # of `$1`, `$2`, …
    convert: Mapping[str, Any]  # converters of the values that need one
    values: Mapping[str, Any]  # that are part of the statement


def _compile_statement(statement: ClauseElement) -> _DriverStatement:
    compiled: Any = statement.compile(dialect=_DIALECT)
    converters = compiled._bind_processors  # noqa: SLF001 - the converters that SQLAlchemy uses
    return _DriverStatement(str(compiled), tuple(compiled.positiontup or ()), converters, compiled.params)


_compile_cached = cache(_compile_statement)
"""Cached by identity: text statements are module constants."""


class DirectPool:
    """A small pool of direct connections."""

    def __init__(
        self,
        engine: AsyncEngine,
        address: DatabaseAddress,
        *,
        max_connections: int,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._engine = engine  # opens connections, and pools none
        self.address = address
        self.on_error = on_error  # called with every error of a statement
        self._room = asyncio.Semaphore(max_connections)
        self._idle: list[DirectConnection] = []

    async def close(self) -> None:
        """Close all idle connections."""
        idle, self._idle = self._idle, []
        for connection in idle:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await connection.driver.close(timeout=CLOSE_SECONDS)
        await self._engine.dispose()

    def drop_idle(self) -> None:
        """Close idle connections, because the server has none left."""
        while self._idle:
            self._idle.pop().driver.terminate()

    async def acquire(self) -> DirectConnection:
        """Take the connection that was used last, or open one. Raises `DatabaseUnavailableError`.

        If it raises, no statement was sent, so the caller may try again.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS if self._room.locked() else None):
                await self._room.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailableError from error
        try:
            while self._idle:
                connection = self._idle.pop()
                if not connection.driver.is_closed():  # the event loop notices a server that goes away
                    return connection
            proxy = await self._engine.raw_connection()
            connection = DirectConnection(proxy.driver_connection)
            proxy.detach()  # from the engine's pool
        except BaseException as error:
            self._room.release()
            if isinstance(error, Exception):
                raise DatabaseUnavailableError(explain_database_error(error, self.address)) from error
            raise
        return connection

    def release(self, connection: DirectConnection, *, is_reusable: bool) -> None:
        """Return the connection to the pool, or cut it if its state is unknown."""
        if is_reusable:
            self._idle.append(connection)
        else:
            connection.driver.terminate()
        self._room.release()


class PooledConnection:
    """One use of a pooled connection. Errors are converted as by `convert_database_errors`.

    `in_transaction`: the block is one transaction; else each statement is. `seconds`: timeout of a statement.
    """

    def __init__(self, direct: DirectPool, *, in_transaction: bool = False, seconds: float | None = None) -> None:
        self._direct = direct
        self._in_transaction = in_transaction
        self._seconds = seconds

    async def __aenter__(self) -> DirectConnection:
        self._connection = await self._direct.acquire()
        self._connection.seconds = self._seconds
        if self._in_transaction:
            await self._execute("BEGIN")
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._direct.on_error(error)
        # A cancelled or timed out statement may still run. A connection that refuses writes leads to a standby.
        broken = _is_lost_connection(error) or isinstance(error, (asyncio.CancelledError, TimeoutError))
        is_reusable = not (broken or is_read_only(error))
        if self._in_transaction and is_reusable:
            await self._execute("COMMIT" if error is None else "ROLLBACK")
        self._direct.release(self._connection, is_reusable=is_reusable)
        if isinstance(error, Exception) and (translated := _translate_error(error, self._direct.address)) is not error:
            raise translated from error

    async def _execute(self, command: str) -> None:
        try:
            await self._connection.driver.execute(command)
        except BaseException as error:
            self._direct.on_error(error)
            self._direct.release(self._connection, is_reusable=False)
            raise _translate_error(error, self._direct.address) from error


def _is_lost_connection(error: BaseException | None) -> bool:
    """True for the driver's errors about a closed or broken connection; a `ValueError` is about a parameter."""
    is_client_error = isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError))
    return is_client_error and not isinstance(error, ValueError)


def _translate_error(error: BaseException, address: DatabaseAddress) -> BaseException:
    """Translate a driver's error into the error that SQLAlchemy's connection would have raised."""
    if _is_lost_connection(error):
        return DatabaseUnavailableError()
    if isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError)):
        kind = IntegrityError if isinstance(error, asyncpg.IntegrityConstraintViolationError) else DBAPIError
        error = kind("direct", None, error)
    return convert_database_error(error, address) if isinstance(error, DATABASE_ERRORS) else error
