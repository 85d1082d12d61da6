"""Taking work in: what waits at the same moment is written in one transaction and committed before anyone is answered.

The rows are written by the writer it was given; this module owns the transaction, nothing else. A commit is bounded in
rows and bytes, a large item has one of its own, and if one fails, each of its items is tried alone.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.db.unavailability import convert_database_errors
from notifier.errors import DatabaseUnavailableError, LockTimeoutError

SUBMIT_TIMEOUT_SECONDS = 4.5  # seconds until the caller hears 503
TRANSACTION_TIMEOUT_SECONDS = 2.2  # longest; the driver takes two more to let go of a server that hangs
LOCK_TIMEOUT_MS = 500
MAX_LOCK_TRIES = 4  # together two seconds for a key that another process is writing at this moment
SINGLE_LOCK_TIMEOUT_MS = 20  # while each item of a commit that met a lock is tried alone
MAX_SINGLE_COMMITS = 4  # items that are tried alone, or wait for a lock of their own, at the same time
MAX_COMMIT_ROWS = 200
"""Rows of one shared commit, each copy of a mail counting as one; a single item may have more."""
MAX_COMMIT_BYTES = 1024 * 1024
"""Bytes that one shared commit hands to the database, in one statement."""
MAX_SHARED_BYTES = 64 * 1024
"""Bytes of an item that is committed together with others; a larger one is committed alone."""
LOOP_TURNS = 3  # of the event loop, before a batch is closed: requests that are already here come along
MAX_CONCURRENT_COMMITS = 2  # commits under way at the same time; on SQLite, with its one writer, one

Item = TypeVar("Item")
Result = TypeVar("Result")


class CommitSize(NamedTuple):
    """What an item adds to a commit."""

    rows: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class CommitWriter(Generic[Item, Result]):
    """How items become rows, all or none of them; one result per item, in order."""

    # By one statement, which is the transaction, and which waits for no lock longer than so many milliseconds.
    on_postgres: Callable[[StatementConnection, Sequence[Item], int], Awaitable[Sequence[Result]]]
    # In the thread of the one writer, within a transaction.
    on_sqlite: Callable[[sqlite3.Connection, Sequence[Item]], Sequence[Result]]
    # Of what the database is given for an item.
    size_on_postgres: Callable[[Item], CommitSize]
    size_on_sqlite: Callable[[Item], CommitSize]


@dataclass(eq=False)
class _PendingItem(Generic[Item, Result]):
    """An item whose commit is awaited."""

    item: Item
    size: CommitSize
    future: asyncio.Future[Result]


@dataclass(kw_only=True)
class _CommitQueue(Generic[Item, Result]):
    """Items that are committed in turn, and how many commits of them may be under way."""

    flights: int
    max_rows: int
    max_bytes: int
    flying: int = 0
    waiting: list[_PendingItem[Item, Result]] = field(default_factory=list)

    def take(self) -> list[_PendingItem[Item, Result]]:
        """The first that wait, as many as one commit may have, and at least one."""
        count = rows = size = 0
        for one in self.waiting:
            rows, size = rows + one.size.rows, size + one.size.bytes
            if count and (rows > self.max_rows or size > self.max_bytes):
                break
            count += 1
        batch, self.waiting = self.waiting[:count], self.waiting[count:]
        return batch


class SharedCommit(Generic[Item, Result]):
    """A door through which items are committed together; open it in the loop that uses it."""

    def __init__(
        self, database: Database, writer: CommitWriter[Item, Result], *, committed: Callable[[], None]
    ) -> None:
        self._database = database
        self._writer = writer
        self._size = writer.size_on_sqlite if database.is_sqlite else writer.size_on_postgres
        self._committed = committed  # called after each commit, to wake a sender in this process
        flights = 1 if database.is_sqlite else MAX_CONCURRENT_COMMITS
        self._shared = _CommitQueue[Item, Result](flights=flights, max_rows=MAX_COMMIT_ROWS, max_bytes=MAX_COMMIT_BYTES)
        self._large = _CommitQueue[Item, Result](flights=1, max_rows=0, max_bytes=0)  # one by one, beside the others
        self._tasks: set[asyncio.Task[None]] = set()
        self._apart_room = asyncio.Semaphore(MAX_SINGLE_COMMITS)

    async def submit(self, item: Item) -> Result:
        """Write and commit the item; the result is the writer's.

        Raises `DatabaseUnavailableError` after 4.5 s, `LockTimeoutError` if another transaction is in the way.
        """
        future = self._enter(item)
        with convert_database_errors():
            async with asyncio.timeout(SUBMIT_TIMEOUT_SECONDS):
                return await future

    async def submit_all(self, items: Sequence[Item]) -> list[Result | BaseException]:
        """The same for several; for each its result, or what `submit` would have raised."""
        futures = [self._enter(item) for item in items]
        try:
            await asyncio.wait(futures, timeout=SUBMIT_TIMEOUT_SECONDS)
        finally:
            late = {future for future in futures if future.cancel()}
        return [DatabaseUnavailableError() if f in late else f.exception() or f.result() for f in futures]

    def _enter(self, item: Item) -> asyncio.Future[Result]:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        try:
            size = self._size(item)
        except Exception as error:  # noqa: BLE001 - its caller gets it raised, and nobody else
            future.set_exception(error)
            return future
        lane = self._large if size.bytes > MAX_SHARED_BYTES else self._shared
        lane.waiting.append(_PendingItem(item, size, future))
        if lane.flying < lane.flights:
            lane.flying += 1
            self._start(self._flush(lane))
        return future

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)

    async def _flush(self, lane: _CommitQueue[Item, Result]) -> None:
        try:
            while lane.waiting:
                for _ in range(LOOP_TURNS):
                    await asyncio.sleep(0)
                await self._commit([one for one in lane.take() if not one.future.done()])
        finally:
            lane.flying -= 1

    async def _commit(self, batch: list[_PendingItem[Item, Result]]) -> None:
        """Commit the batch; if that fails, each of its items is tried alone, so that none fails for another."""
        if not batch:
            return
        try:
            await self._write(batch, LOCK_TIMEOUT_MS)
        except Exception as error:  # noqa: BLE001 - each caller gets its own raised; the door stays open for the next
            if len(batch) > 1 and self._may_try_again(error):
                for one in batch:
                    self._start(self._try_alone(one))
            elif isinstance(error, LockTimeoutError):
                self._start(self._wait_apart(batch[0]))
            else:
                _fail_items(batch, error)

    def _may_try_again(self, error: Exception) -> bool:
        """False after a time-out of SQLite's one writer: it goes on in its thread, and may still commit."""
        return not (self._database.is_sqlite and isinstance(error.__cause__, TimeoutError))

    async def _try_alone(self, waiting: _PendingItem[Item, Result]) -> None:
        """Write one item of a commit that failed; one that meets a lock waits for it behind the others."""
        async with self._apart_room:
            if waiting.future.done():
                return
            try:
                await self._write([waiting], SINGLE_LOCK_TIMEOUT_MS)
            except LockTimeoutError:
                self._start(self._wait_apart(waiting))
            except Exception as error:  # noqa: BLE001 - its caller gets it raised
                _fail_items([waiting], error)

    async def _wait_apart(self, waiting: _PendingItem[Item, Result]) -> None:
        """Try one item that met a lock a few times more, while others are committed."""
        async with self._apart_room:
            for tries_left in reversed(range(MAX_LOCK_TRIES - 1)):
                if waiting.future.done():
                    return
                try:
                    await self._write([waiting], LOCK_TIMEOUT_MS)
                except Exception as error:  # noqa: BLE001 - its caller gets it raised
                    if not (isinstance(error, LockTimeoutError) and tries_left):
                        _fail_items([waiting], error)

    async def _write(self, batch: Sequence[_PendingItem[Item, Result]], lock_ms: int) -> None:
        """One transaction; whoever still waits has the result once it is committed."""
        items = [one.item for one in batch]
        with convert_database_errors():
            async with asyncio.timeout(TRANSACTION_TIMEOUT_SECONDS):
                if self._database.is_sqlite:
                    results = await self._database.run_in_writer(lambda c: self._writer.on_sqlite(c, items))
                else:
                    async with self._database.write_statement() as connection:
                        results = await self._writer.on_postgres(connection, items, lock_ms)
        for one, result in zip(batch, results, strict=True):
            if not one.future.done():
                one.future.set_result(result)
        self._committed()


def _fail_items(batch: Sequence[_PendingItem[Item, Result]], error: Exception) -> None:
    for one in batch:
        if not one.future.done():
            one.future.set_exception(error)
