"""The shared commit: items that arrive at the same moment are written in one transaction, and answered after it.

A `CommitWriter` writes the rows; this module owns only the transaction. A commit has a maximum of rows and bytes. A
large item has a commit of its own. If a commit fails, each of its items is tried alone.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from notifier.db.database_errors import convert_database_errors
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError, LockTimeoutError

MAX_SUBMIT_SECONDS = 4.5  # then the caller gets a 503
TRANSACTION_TIMEOUT_SECONDS = 2.2  # the driver takes two more seconds to leave a server that hangs
LOCK_TIMEOUT_MS = 500
MAX_LOCK_TRIES = 4  # together two seconds for a key that another process is writing
SINGLE_LOCK_TIMEOUT_MS = 20  # for each item of a commit that met a lock, to find the blocked one
MAX_SINGLE_COMMITS = 4  # items that are tried alone or wait for a lock at the same time
MAX_COMMIT_ROWS = 200
"""Rows of one shared commit, each copy of a mail counting as one; a single item may have more."""
MAX_COMMIT_BYTES = 1024 * 1024
"""Bytes that one shared commit hands to the database, in one statement."""
MAX_SHARED_BYTES = 64 * 1024
"""Bytes of an item that is committed together with others; a larger one is committed alone."""
LOOP_TURNS = 3  # turns of the event loop before a batch is closed, so that requests that are already here join it
MAX_CONCURRENT_COMMITS = 2  # commits at the same time; one on SQLite, which has one writer

Item = TypeVar("Item")
Result = TypeVar("Result")


class CommitSize(NamedTuple):
    """The size that an item adds to a commit."""

    rows: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class CommitWriter(Generic[Item, Result]):
    """Writes items as rows, all or none of them; returns one result per item, in order."""

    # In one statement, which is the transaction; the last argument is the lock timeout in milliseconds.
    on_postgres: Callable[[StatementConnection, Sequence[Item], int], Awaitable[Sequence[Result]]]
    # In the thread of the one writer, inside a transaction.
    on_sqlite: Callable[[sqlite3.Connection, Sequence[Item]], Sequence[Result]]
    # The size of an item in the database.
    size_on_postgres: Callable[[Item], CommitSize]
    size_on_sqlite: Callable[[Item], CommitSize]


@dataclass(eq=False)
class _PendingItem(Generic[Item, Result]):
    item: Item
    size: CommitSize
    future: asyncio.Future[Result]


@dataclass(kw_only=True)
class _CommitQueue(Generic[Item, Result]):
    max_commits: int  # at the same time
    max_rows: int
    max_bytes: int
    commits: int = 0  # running
    waiting: list[_PendingItem[Item, Result]] = field(default_factory=list)

    def take(self) -> list[_PendingItem[Item, Result]]:
        """Remove and return the items of the next commit: as many as fit, at least one."""
        count = rows = size = 0
        for pending in self.waiting:
            rows, size = rows + pending.size.rows, size + pending.size.bytes
            if count and (rows > self.max_rows or size > self.max_bytes):
                break
            count += 1
        batch, self.waiting = self.waiting[:count], self.waiting[count:]
        return batch


class SharedCommit(Generic[Item, Result]):
    """Commits items together; create it in the event loop that uses it."""

    def __init__(
        self, database: Database, writer: CommitWriter[Item, Result], *, on_commit: Callable[[], None]
    ) -> None:
        self._database = database
        self._writer = writer
        self._size = writer.size_on_sqlite if database.is_sqlite else writer.size_on_postgres
        self._on_commit = on_commit  # wakes a sender in this process
        commits = 1 if database.is_sqlite else MAX_CONCURRENT_COMMITS
        self._shared = _CommitQueue[Item, Result](
            max_commits=commits, max_rows=MAX_COMMIT_ROWS, max_bytes=MAX_COMMIT_BYTES
        )
        self._large = _CommitQueue[Item, Result](max_commits=1, max_rows=0, max_bytes=0)  # one item per commit
        self._tasks: set[asyncio.Task[None]] = set()
        self._single = asyncio.Semaphore(MAX_SINGLE_COMMITS)

    async def submit(self, item: Item) -> Result:
        """Write and commit the item, and return the writer's result.

        Raises `DatabaseUnavailableError` after 4.5 s, and `LockTimeoutError` if another transaction blocks it.
        """
        future = self._enter(item)
        with convert_database_errors():
            async with asyncio.timeout(MAX_SUBMIT_SECONDS):
                return await future

    async def submit_all(self, items: Sequence[Item]) -> list[Result | BaseException]:
        """Submit several items; return for each its result, or what `submit` would have raised."""
        futures = [self._enter(item) for item in items]
        try:
            await asyncio.wait(futures, timeout=MAX_SUBMIT_SECONDS)
        finally:
            late = {future for future in futures if future.cancel()}
        return [DatabaseUnavailableError() if f in late else f.exception() or f.result() for f in futures]

    def _enter(self, item: Item) -> asyncio.Future[Result]:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        try:
            size = self._size(item)
        except Exception as error:  # noqa: BLE001 - only its own caller gets it raised
            future.set_exception(error)
            return future
        queue = self._large if size.bytes > MAX_SHARED_BYTES else self._shared
        queue.waiting.append(_PendingItem(item, size, future))
        if queue.commits < queue.max_commits:
            queue.commits += 1
            self._start(self._flush(queue))
        return future

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)

    async def _flush(self, queue: _CommitQueue[Item, Result]) -> None:
        try:
            while queue.waiting:
                for _ in range(LOOP_TURNS):
                    await asyncio.sleep(0)
                await self._commit([pending for pending in queue.take() if not pending.future.done()])
        finally:
            queue.commits -= 1

    async def _commit(self, batch: list[_PendingItem[Item, Result]]) -> None:
        """Commit the batch; if that fails, try each of its items alone, so that none fails because of another."""
        if not batch:
            return
        try:
            await self._write(batch, LOCK_TIMEOUT_MS)
        except Exception as error:  # noqa: BLE001 - each caller gets it raised; later items are still committed
            if len(batch) > 1 and self._may_try_again(error):
                for pending in batch:
                    self._start(self._try_alone(pending))
            elif isinstance(error, LockTimeoutError):
                self._start(self._wait_for_lock(batch[0]))
            else:
                _fail_items(batch, error)

    def _may_try_again(self, error: Exception) -> bool:
        """Return False after a timeout of SQLite's one writer: it goes on in its thread, and may still commit."""
        return not (self._database.is_sqlite and isinstance(error.__cause__, TimeoutError))

    async def _try_alone(self, pending: _PendingItem[Item, Result]) -> None:
        """Write one item of a failed commit. If another transaction blocks it, wait for that after the other items."""
        async with self._single:
            if pending.future.done():
                return
            try:
                await self._write([pending], SINGLE_LOCK_TIMEOUT_MS)
            except LockTimeoutError:
                self._start(self._wait_for_lock(pending))
            except Exception as error:  # noqa: BLE001 - its caller gets it raised
                _fail_items([pending], error)

    async def _wait_for_lock(self, pending: _PendingItem[Item, Result]) -> None:
        """Try a blocked item a few more times, while others are committed."""
        async with self._single:
            for tries_left in reversed(range(MAX_LOCK_TRIES - 1)):
                if pending.future.done():
                    return
                try:
                    await self._write([pending], LOCK_TIMEOUT_MS)
                except Exception as error:  # noqa: BLE001 - its caller gets it raised
                    if not (isinstance(error, LockTimeoutError) and tries_left):
                        _fail_items([pending], error)

    async def _write(self, batch: Sequence[_PendingItem[Item, Result]], lock_timeout_ms: int) -> None:
        """Write the batch in one transaction, and give each item that still waits its result."""
        items = [pending.item for pending in batch]
        with convert_database_errors():
            async with asyncio.timeout(TRANSACTION_TIMEOUT_SECONDS):
                if self._database.is_sqlite:
                    results = await self._database.run_in_writer(lambda c: self._writer.on_sqlite(c, items))
                else:
                    async with self._database.write_statement() as connection:
                        results = await self._writer.on_postgres(connection, items, lock_timeout_ms)
        for pending, result in zip(batch, results, strict=True):
            if not pending.future.done():
                pending.future.set_result(result)
        self._on_commit()


def _fail_items(batch: Sequence[_PendingItem[Item, Result]], error: Exception) -> None:
    for pending in batch:
        if not pending.future.done():
            pending.future.set_exception(error)
