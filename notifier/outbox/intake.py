"""Taking work in: what waits at the same moment is written in one transaction and committed before anyone is answered.

The rows are written by the writer it was given; this module owns the transaction, nothing else. A batch that fails on
one request is halved until only that request fails.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.exc import DBAPIError

from notifier.db.direct import Connection
from notifier.db.engine import Database
from notifier.db.unavailable import unavailable_as_such
from notifier.errors import DatabaseUnavailableError, LockTimeoutError

LONGEST_WAIT = 4.5  # seconds until the caller hears 503
TRANSACTION_SECONDS = 2.2  # longest; the driver takes two more to let go of a server that hangs
LOCK_TIMEOUT_MS = 500
LOCK_TRIES = 4  # together two seconds for a key that another process is writing at this moment
SEARCH_TIMEOUT_MS = 20  # while halving a batch that met a lock
MOST_APART = 4  # items that wait for a lock of their own at the same time
LARGEST_BATCH = 200
TURNS = 3  # of the event loop, before a batch is closed: requests that are already here come along
FLIGHTS = 2  # commits under way at the same time; on SQLite, with its one writer, one

Item = TypeVar("Item")
Result = TypeVar("Result")
_Waiting = tuple[Item, asyncio.Future[Result]]


@dataclass(frozen=True, kw_only=True)
class Writer(Generic[Item, Result]):
    """How items become rows, all or none of them; one result per item, in order."""

    # By one statement, which is the transaction, and which waits for no lock longer than so many milliseconds.
    on_postgres: Callable[[Connection, Sequence[Item], int], Awaitable[Sequence[Result]]]
    # In the thread of the one writer, within a transaction.
    on_sqlite: Callable[[sqlite3.Connection, Sequence[Item]], Sequence[Result]]


class Intake(Generic[Item, Result]):
    """A door through which items are committed together; open it in the loop that uses it."""

    def __init__(self, database: Database, writer: Writer[Item, Result], *, committed: Callable[[], None]) -> None:
        self._database = database
        self._writer = writer
        self._committed = committed  # called after each commit, to wake a sender in this process
        self._waiting: list[_Waiting[Item, Result]] = []
        self._flights = 1 if database.is_sqlite else FLIGHTS
        self._flying = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._apart_room = asyncio.Semaphore(MOST_APART)

    async def submit(self, item: Item) -> Result:
        """Write and commit the item; the result is the writer's.

        Raises `DatabaseUnavailableError` after 4.5 s, `LockTimeoutError` if another transaction is in the way.
        """
        future = self._enter(item)
        with unavailable_as_such():
            async with asyncio.timeout(LONGEST_WAIT):
                return await future

    async def submit_all(self, items: Sequence[Item]) -> list[Result | BaseException]:
        """The same for several; for each its result, or what `submit` would have raised."""
        futures = [self._enter(item) for item in items]
        try:
            await asyncio.wait(futures, timeout=LONGEST_WAIT)
        finally:
            late = {future for future in futures if future.cancel()}
        return [DatabaseUnavailableError() if f in late else f.exception() or f.result() for f in futures]

    def _enter(self, item: Item) -> asyncio.Future[Result]:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._flying < self._flights:
            self._flying += 1
            self._start(self._flush())
        return future

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)

    async def _flush(self) -> None:
        try:
            while self._waiting:
                for _ in range(TURNS):
                    await asyncio.sleep(0)
                batch, self._waiting = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
                await self._commit([waiting for waiting in batch if not waiting[1].done()])
        finally:
            self._flying -= 1

    async def _commit(self, batch: list[_Waiting[Item, Result]], *, lock_ms: int = LOCK_TIMEOUT_MS) -> None:
        """Commit the batch; on an error that one item may have caused, halve it."""
        if not batch:
            return
        try:
            await self._write(batch, lock_ms)
        except (LockTimeoutError, DBAPIError) as error:
            if len(batch) > 1:
                lock_ms = SEARCH_TIMEOUT_MS if isinstance(error, LockTimeoutError) else lock_ms
                middle = len(batch) // 2
                await self._commit(batch[:middle], lock_ms=lock_ms)
                await self._commit(batch[middle:], lock_ms=lock_ms)
            elif isinstance(error, LockTimeoutError):
                self._start(self._wait_apart(batch[0]))
            else:
                _fail(batch, error)
        except Exception as error:  # noqa: BLE001 - each caller gets it raised; the door stays open for the next
            _fail(batch, error)

    async def _wait_apart(self, waiting: _Waiting[Item, Result]) -> None:
        """Try one item that met a lock a few times more, while others are committed."""
        async with self._apart_room:
            for tries_left in reversed(range(LOCK_TRIES - 1)):
                if waiting[1].done():
                    return
                try:
                    await self._write([waiting], LOCK_TIMEOUT_MS)
                except Exception as error:  # noqa: BLE001 - its caller gets it raised
                    if not (isinstance(error, LockTimeoutError) and tries_left):
                        _fail([waiting], error)

    async def _write(self, batch: Sequence[_Waiting[Item, Result]], lock_ms: int) -> None:
        """One transaction; whoever still waits has the result once it is committed."""
        items = [item for item, _ in batch]
        with unavailable_as_such():
            async with asyncio.timeout(TRANSACTION_SECONDS):
                if self._database.is_sqlite:
                    results = await self._database.in_writer(lambda c: self._writer.on_sqlite(c, items))
                else:
                    async with self._database.single() as connection:
                        results = await self._writer.on_postgres(connection, items, lock_ms)
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
        self._committed()


def _fail(batch: Sequence[_Waiting[Item, Result]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
