"""Taking work in: what waits at the same moment is written in one transaction and committed before anyone is answered.

The rows are written by the writer it was given; this module owns the transaction, nothing else. A batch that fails on
one request is halved until only that request fails.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError, LockTimeoutError

LONGEST_WAIT = 4.5  # seconds until the caller hears 503
LOCK_TIMEOUT_MS = 500
LOCK_TRIES = 4  # together two seconds for a key that another process is writing at this moment
LARGEST_BATCH = 200

Item = TypeVar("Item")
Result = TypeVar("Result")
Writer = Callable[[AsyncConnection, Sequence[Item]], Awaitable[Sequence[Result]]]
_Waiting = tuple[Item, asyncio.Future[Result]]


class Intake(Generic[Item, Result]):
    """A door through which items are committed together; open it in the loop that uses it."""

    def __init__(self, database: Database, write: Writer[Item, Result], *, committed: Callable[[], None]) -> None:
        self._database = database
        self._write = write
        self._committed = committed  # called after each commit, to wake a sender in this process
        self._waiting: list[_Waiting[Item, Result]] = []
        self._flushing: asyncio.Task[None] | None = None

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
            batch, self._waiting = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
            await self._commit([waiting for waiting in batch if not waiting[1].done()])

    async def _commit(self, batch: list[_Waiting[Item, Result]]) -> None:
        """Commit the batch; on an error that one item may have caused, halve it."""
        if not batch:
            return
        try:
            results = await self._transaction([item for item, _ in batch], tries=LOCK_TRIES if len(batch) == 1 else 1)
        except (LockTimeoutError, DBAPIError) as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            middle = len(batch) // 2
            await self._commit(batch[:middle])
            await self._commit(batch[middle:])
        except Exception as error:  # noqa: BLE001 - each caller gets it raised; the door stays open for the next
            _fail(batch, error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
            self._committed()

    async def _transaction(self, items: list[Item], *, tries: int) -> Sequence[Result]:
        while True:
            tries -= 1
            try:
                async with self._database.write() as connection:
                    if not self._database.is_sqlite:
                        await connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
                    return await self._write(connection, items)
            except LockTimeoutError:
                if tries == 0:
                    raise


def _fail(batch: Sequence[_Waiting[Item, Result]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
