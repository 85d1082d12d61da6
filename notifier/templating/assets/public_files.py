"""A cache of the image files that anybody may fetch; at most one is read from the database at a time."""

import asyncio
from collections import OrderedDict

from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.templating.assets import asset_store

MAX_PUBLIC_FILE_BYTES = 32 * 1024 * 1024
"""Bytes of images in memory."""
MAX_READ_SECONDS = 5.0
"""How long a request waits while other files are read."""


class PublicFileCache:
    """Image files by SHA-256. Anybody may ask for them, so they never take more than one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reading = asyncio.Semaphore(1)
        self._cached: OrderedDict[bytes, tuple[str, bytes]] = OrderedDict()
        self._bytes = 0

    async def get(self, sha256: bytes) -> tuple[str, bytes]:
        """Return media type and content. Raises `NotFoundError`, and `DatabaseUnavailableError` if too many wait."""
        if sha256 not in self._cached:
            try:
                async with asyncio.timeout(MAX_READ_SECONDS):
                    await self._reading.acquire()
            except TimeoutError as error:
                raise DatabaseUnavailableError from error
            try:
                if sha256 not in self._cached:  # nobody else has read it meanwhile
                    async with self._database.read() as connection:
                        self._store(sha256, await asset_store.get_file(connection, sha256))
            finally:
                self._reading.release()
        self._cached.move_to_end(sha256)
        return self._cached[sha256]

    def _store(self, sha256: bytes, file: tuple[str, bytes]) -> None:
        self._cached[sha256] = file
        self._bytes += len(file[1])
        while self._bytes > MAX_PUBLIC_FILE_BYTES and len(self._cached) > 1:
            _, (_, oldest) = self._cached.popitem(last=False)
            self._bytes -= len(oldest)
