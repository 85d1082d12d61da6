"""Taking work in: what waits at the same moment is written in one transaction and committed before anyone is answered.

The rows are written by the writer it was given; this module owns the transaction, nothing else. A batch that fails on
one request is halved until only that request fails.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError, LockTimeoutError

LONGEST_WAIT = 4.5  # seconds until the caller hears 503
LOCK_TIMEOUT_MS = 500
LOCK_TRIES = 4  # together two seconds for a key that another process is writing at this moment
SEARCH_TIMEOUT_MS = 20  # while halving a batch that met a lock
MOST_APART = 4  # items that wait for a lock of their own at the same time
LARGEST_BATCH = 200
TURNS = 5
"""Of the event loop, before a batch is closed: whoever's request is already here comes along; microseconds if nobody."""

Item = TypeVar("Item")
Result = TypeVar("Result")
_Waiting = tuple[Item, asyncio.Future[Result]]


@dataclass(frozen=True, kw_only=True)
class Writer(Generic[Item, Result]):
    """How items become rows, all or none of them; one result per item, in order."""

    on_postgres: Callable[[AsyncConnection, Sequence[Item], int], Awaitable[Sequence[Result]]]
    """Writes in one statement, which is the transaction, and waits for no lock longer than so many milliseconds."""
    on_sqlite: Callable[[sqlite3.Connection, Sequence[Item]], Sequence[Result]]
    """Runs in the thread of SQLite's writer, within a transaction."""


class Intake(Generic[Item, Result]):
    """A door through which items are committed together; open it in the loop that uses it."""

    def __init__(self, database: Database, writer: Writer[Item, Result], *, committed: Callable[[], None]) -> None:
        self._database = database
        self._writer = writer
        self._committed = committed  # called after each commit, to wake a sender in this process
        self._waiting: list[_Waiting[Item, Result]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._apart: set[asyncio.Task[None]] = set()
        self._apart_room = asyncio.Semaphore(MOST_APART)

    async def submit(self, item: Item) -> Result:
        """Write and commit the item; the result is the writer's.

        Raises `DatabaseUnavailableError` if there was no commit within 4.5 s, `LockTimeoutError` if another
        transaction holds what this one needs.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                return await future
        except TimeoutError as error:
            raise DatabaseUnavailableError from error

    async def _flush(self) -> None:
        while self._waiting:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            batch, self._waiting = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
            await self._commit([waiting for waiting in batch if not waiting[1].done()])

    async def _commit(self, batch: list[_Waiting[Item, Result]], *, lock_ms: int = LOCK_TIMEOUT_MS) -> None:
        """Commit the batch; on an error that one item may have caused, halve it."""
        if not batch:
            return
        try:
            results = await self._transaction([item for item, _ in batch], lock_ms)
        except (LockTimeoutError, DBAPIError) as error:
            if len(batch) > 1:
                lock_ms = SEARCH_TIMEOUT_MS if isinstance(error, LockTimeoutError) else lock_ms
                middle = len(batch) // 2
                await self._commit(batch[:middle], lock_ms=lock_ms)
                await self._commit(batch[middle:], lock_ms=lock_ms)
            elif isinstance(error, LockTimeoutError):
                waiting = asyncio.create_task(self._wait_apart(batch[0]))
                self._apart.add(waiting)
                waiting.add_done_callback(self._apart.discard)
            else:
                _fail(batch, error)
        except Exception as error:  # noqa: BLE001 - each caller gets it raised; the door stays open for the next
            _fail(batch, error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
            self._committed()

    async def _wait_apart(self, waiting: _Waiting[Item, Result]) -> None:
        """Try one item that met a lock a few times more, while others are committed."""
        item, future = waiting
        error: Exception = LockTimeoutError()
        async with self._apart_room:
            for _ in range(LOCK_TRIES - 1):
                if future.done():
                    return
                try:
                    (result,) = await self._transaction([item], LOCK_TIMEOUT_MS)
                except LockTimeoutError as again:
                    error = again
                except Exception as other:  # noqa: BLE001 - its caller gets it raised
                    error = other
                    break
                else:
                    if not future.done():
                        future.set_result(result)
                    self._committed()
                    return
        _fail([waiting], error)

    async def _transaction(self, items: list[Item], lock_ms: int) -> Sequence[Result]:
        if self._database.is_sqlite:
            return await self._database.in_writer(lambda connection: self._writer.on_sqlite(connection, items))
        async with self._database.single() as connection:
            return await self._writer.on_postgres(connection, items, lock_ms)


def _fail(batch: Sequence[_Waiting[Item, Result]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
