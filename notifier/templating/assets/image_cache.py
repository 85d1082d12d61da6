"""Caches of converted images: in base64 as mails carry them, and as files that anybody may fetch."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping

from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.mail.attachment_parts import encode_base64_chunks
from notifier.templating.assets import asset_store

MAX_CACHED_BYTES = 64 * 1024 * 1024
"""Bytes of base64 in memory."""
MAX_PUBLIC_FILE_BYTES = 32 * 1024 * 1024
"""Bytes of public files in memory."""
MAX_READ_SECONDS = 5.0
"""How long a request waits while other files are read."""


class InlineImageCache:
    """The images of an installation, and the public URL of those that mails link to."""

    def __init__(self, database: Database, public_url: str | None) -> None:
        self.public_url = public_url.rstrip("/") if public_url else None
        self._database = database
        self._cached: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    async def load_base64(self, hashes: Collection[str]) -> Mapping[str, bytes]:
        """Return base64 lines by SHA-256 (hexadecimal); an image that does not exist is left out."""
        if missing := [bytes.fromhex(sha256) for sha256 in hashes if sha256 not in self._cached]:
            async with self._database.read() as connection:
                files = await asset_store.get_files(connection, missing)
            for digest, (_, content) in files.items():
                if digest.hex() not in self._cached:  # another mail may have loaded it meanwhile
                    lines = self._cached[digest.hex()] = b"".join(encode_base64_chunks(content))
                    self._size += len(lines)
        images = {sha256: self._cached[sha256] for sha256 in hashes if sha256 in self._cached}
        for sha256 in images:
            self._cached.move_to_end(sha256)
        while self._size > MAX_CACHED_BYTES:
            self._size -= len(self._cached.popitem(last=False)[1])
        return images


class PublicFileCache:
    """Image files by SHA-256. Anybody may ask for them, so they never take more than one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reading = asyncio.Semaphore(1)
        self._cached: OrderedDict[bytes, tuple[str, bytes]] = OrderedDict()
        self._size = 0

    async def get(self, sha256: bytes) -> tuple[str, bytes]:
        """Return media type and content. Raises `NotFoundError`, and `DatabaseUnavailableError` if too many wait."""
        if sha256 not in self._cached:
            try:
                async with asyncio.timeout(MAX_READ_SECONDS):
                    await self._reading.acquire()
            except TimeoutError as error:
                raise DatabaseUnavailableError from error
            try:
                if sha256 not in self._cached:  # another request may have read it meanwhile
                    async with self._database.read() as connection:
                        file = self._cached[sha256] = await asset_store.get_file(connection, sha256)
                    self._size += len(file[1])
            finally:
                self._reading.release()
        self._cached.move_to_end(sha256)
        file = self._cached[sha256]
        while self._size > MAX_PUBLIC_FILE_BYTES and len(self._cached) > 1:
            self._size -= len(self._cached.popitem(last=False)[1][1])
        return file
