"""Bounds what the console reads at a time, so that slow pages never hurt the API."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.engine import Database
from notifier.errors import NotifierError
from notifier.lookup.standby_reader import StandbyReader

ReadConnection = AsyncConnection
"""The type of what `ReadSlots.open` gives, for pages, which import nothing of the database."""
MAX_READS = 4  # connections of a process with which the console reads, fewer if the settings leave it fewer
MAX_WAIT_SECONDS = 1.0
Result = TypeVar("Result")


class ConsoleBusyError(NotifierError):
    """Too many people load pages at the moment."""

    retry_after = 2  # seconds


class ReadSlots:
    """The connections with which the console reads. Who waits too long for one gets `ConsoleBusyError`."""

    def __init__(self, database: Database, standby: StandbyReader) -> None:
        self._database = database
        self._standby = standby
        self.free = asyncio.Semaphore(min(MAX_READS, database.shares.staff))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for reading. Raises `ConsoleBusyError`."""
        async with self._take_slot(), self._database.read_for_staff() as connection:
            yield connection

    async def read_standby(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Run `work` on what may be a few seconds old. Raises `ConsoleBusyError`."""
        async with self._take_slot():
            return await self._standby.read(work, self._database.read_for_staff)

    @asynccontextmanager
    async def _take_slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                await self.free.acquire()
        except TimeoutError as error:
            raise ConsoleBusyError from error
        try:
            yield
        finally:
            self.free.release()
