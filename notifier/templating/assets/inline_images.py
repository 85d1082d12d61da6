"""The octets of pinned images for who makes mails of them: read once, kept as they stand in a mail, within limits."""

from collections import OrderedDict
from collections.abc import Collection, Mapping

from notifier.db.engine import Database
from notifier.mail.attachment_parts import encode_base64_chunks
from notifier.templating.assets import asset_store

MAX_CACHED_BYTES = 64 * 1024 * 1024
"""Octets of base64 that are kept in memory."""


class InlineImageCache:
    """The images of an installation, and where the world sees those that mails link to."""

    def __init__(self, database: Database, public_url: str | None) -> None:
        self.public_url = public_url.rstrip("/") if public_url else None
        self._database = database
        self._cached: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    async def load_base64(self, hashes: Collection[str]) -> Mapping[str, bytes]:
        """The base64 lines of the images with these SHA-256 (hexadecimal); what is gone is left out."""
        if missing := [bytes.fromhex(one) for one in hashes if one not in self._cached]:
            async with self._database.read() as connection:
                found = await asset_store.get_files(connection, missing)
            for digest, (_, octets) in found.items():
                self._store(digest.hex(), b"".join(encode_base64_chunks(octets)))
        there = {one: self._cached[one] for one in hashes if one in self._cached}
        for one in there:
            self._cached.move_to_end(one)
        while self._size > MAX_CACHED_BYTES:
            _, gone = self._cached.popitem(last=False)
            self._size -= len(gone)
        return there

    def _store(self, digest: str, lines: bytes) -> None:
        if digest not in self._cached:
            self._size += len(lines)
            self._cached[digest] = lines
