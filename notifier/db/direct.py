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

from notifier.db.reasons import explain
from notifier.db.unavailable import NOTICED, as_such
from notifier.db.url import Address
from notifier.db.write_faults import is_read_only
from notifier.errors import DatabaseUnavailableError

ROOM_SECONDS = 2.0
"""How long one waits for a connection while others use them all."""
CLOSE_SECONDS = 1.0
_DIALECT = adapter.dialect()  # type: ignore[no-untyped-call]


class Connection(Protocol):
    """What a function needs that runs statements and never commits: SQLAlchemy's connection, or a direct one."""

    @property
    def dialect(self) -> Any:
        """Which database it is, by `name`."""

    async def execute(self, statement: Any, values: Any = None, /) -> Any:
        """Run one statement."""


class Row(asyncpg.Record):  # type: ignore[misc]
    """A row as the driver gives it, whose columns are attributes as well."""

    def __getattr__(self, name: str) -> Any:
        """The column of this name."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Rows:
    """What a statement returned, read like a result of SQLAlchemy's."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def all(self) -> Sequence[Row]:
        """Every row."""
        return self._rows

    def mappings(self) -> Sequence[Row]:
        """Every row, read by the names of its columns."""
        return self._rows

    def first(self) -> Row | None:
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

    async def execute(self, statement: ClauseElement, values: Mapping[str, Any] | None = None, /) -> Rows:
        """Run one statement."""
        known = _known(statement) if isinstance(statement, TextClause) else _in_the_drivers_words(statement)
        given = values or known.values
        arguments = [known.convert[name](given[name]) if name in known.convert else given[name] for name in known.names]
        return Rows(await self.driver.fetch(known.sql, *arguments, timeout=self.seconds, record_class=Row))


class _Words(NamedTuple):
    """A statement as the driver takes it."""

    sql: str
    names: Sequence[str]  # of `$1`, `$2`, …
    convert: Mapping[str, Any]  # how to convert those that need it
    values: Mapping[str, Any]  # its own


def _in_the_drivers_words(statement: ClauseElement) -> _Words:
    compiled: Any = statement.compile(dialect=_DIALECT)
    return _Words(str(compiled), tuple(compiled.positiontup or ()), compiled._bind_processors, compiled.params)  # noqa: SLF001 - how SQLAlchemy itself converts


_known = cache(_in_the_drivers_words)
"""By identity: a text is made once, and kept."""


class Direct:
    """A few connections, kept open; each is used by one statement or transaction at a time."""

    def __init__(
        self, engine: AsyncEngine, address: Address, *, most: int, failed: Callable[[BaseException], None]
    ) -> None:
        self._engine = engine  # makes connections, and keeps none
        self.address = address
        self.failed = failed  # told of every error of a statement
        self._room = asyncio.Semaphore(most)
        self._idle: list[DirectConnection] = []

    def statement(self, *, seconds: float | None = None) -> "Use":
        """A connection on which each statement is a transaction of its own, if need be within so many seconds."""
        return Use(self, seconds=seconds)

    def transaction(self) -> "Use":
        """A connection in a transaction, which commits at the end of the block."""
        return Use(self, in_transaction=True)

    async def close(self) -> None:
        """Close what nobody uses."""
        idle, self._idle = self._idle, []
        for connection in idle:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await connection.driver.close(timeout=CLOSE_SECONDS)
        await self._engine.dispose()

    async def take(self) -> DirectConnection:
        """An open connection, the one used last if there is one; for `Use`. Raises `DatabaseUnavailableError`.

        Whatever keeps a connection from being opened, nothing was asked of the database, so it may be asked again.
        """
        try:
            async with asyncio.timeout(ROOM_SECONDS if self._room.locked() else None):
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
                raise DatabaseUnavailableError(explain(error, self.address)) from error
            raise
        return connection

    def give_back(self, connection: DirectConnection, *, whole: bool) -> None:
        """Keep it for the next one, or cut it, if nobody knows what it is in the middle of."""
        if whole:
            self._idle.append(connection)
        else:
            connection.driver.terminate()
        self._room.release()


class Use:
    """One use of a connection; errors come out as those of `unavailable_as_such`."""

    def __init__(self, direct: Direct, *, in_transaction: bool = False, seconds: float | None = None) -> None:
        self._direct = direct
        self._in_transaction = in_transaction
        self._seconds = seconds

    async def __aenter__(self) -> DirectConnection:
        """Take a connection, and begin."""
        self._connection = await self._direct.take()
        self._connection.seconds = self._seconds
        if self._in_transaction:
            await self._say("BEGIN")
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or roll back, and give the connection back."""
        if error is not None:
            self._direct.failed(error)
        # Whoever was cancelled, or has waited too long, leaves a statement under way. After a failover, what takes no
        # writes leads to a standby.
        broken = _is_lost(error) or isinstance(error, (asyncio.CancelledError, TimeoutError))
        whole = not (broken or is_read_only(error))
        if self._in_transaction and whole:
            await self._say("COMMIT" if error is None else "ROLLBACK")
        self._direct.give_back(self._connection, whole=whole)
        if isinstance(error, Exception) and (meant := _meaning(error, self._direct.address)) is not error:
            raise meant from error

    async def _say(self, word: str) -> None:
        try:
            await self._connection.driver.execute(word)
        except BaseException as error:
            self._direct.failed(error)
            self._direct.give_back(self._connection, whole=False)
            raise _meaning(error, self._direct.address) from error


def _is_lost(error: BaseException | None) -> bool:
    """The driver's words for a connection that is closed or out of step; a `ValueError` is about a parameter."""
    lost = isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError))
    return lost and not isinstance(error, ValueError)


def _meaning(error: BaseException, address: Address) -> BaseException:
    """The error that SQLAlchemy would have raised, or what that means."""
    if _is_lost(error):
        return DatabaseUnavailableError()
    if isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError)):
        kind = IntegrityError if isinstance(error, asyncpg.IntegrityConstraintViolationError) else DBAPIError
        error = kind("direct", None, error)
    return as_such(error, address) if isinstance(error, NOTICED) else error
