"""A cache of inline images in base64, as they are written into mails."""

from collections import OrderedDict
from collections.abc import Collection, Mapping

from notifier.db.engine import Database
from notifier.rendering.attachments import base64_lines
from notifier.templating.assets import asset

MOST_KEPT = 64 * 1024 * 1024
"""Bytes of base64 in memory."""


class AssetOctets:
    """The images of an installation, and the public URL of those that mails link to."""

    def __init__(self, database: Database, public_url: str | None) -> None:
        self.public_url = public_url.rstrip("/") if public_url else None
        self._database = database
        self._known: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    async def base64(self, hashes: Collection[str]) -> Mapping[str, bytes]:
        """Return base64 lines by SHA-256 (hexadecimal); an image that does not exist is left out."""
        if missing := [bytes.fromhex(sha256) for sha256 in hashes if sha256 not in self._known]:
            async with self._database.read() as connection:
                files = await asset.octets(connection, missing)
            for digest, (_, content) in files.items():
                self._remember(digest.hex(), b"".join(base64_lines(content)))
        images = {sha256: self._known[sha256] for sha256 in hashes if sha256 in self._known}
        for sha256 in images:
            self._known.move_to_end(sha256)
        while self._size > MOST_KEPT:
            _, oldest = self._known.popitem(last=False)
            self._size -= len(oldest)
        return images

    def _remember(self, digest: str, lines: bytes) -> None:
        if digest not in self._known:
            self._size += len(lines)
            self._known[digest] = lines
