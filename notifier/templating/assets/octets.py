"""The octets of pinned images for who makes mails of them: read once, kept as they stand in a mail, within limits."""

from collections import OrderedDict
from collections.abc import Collection, Mapping

from notifier.db.engine import Database
from notifier.rendering.attachments import base64_lines
from notifier.templating.assets import asset

MOST_KEPT = 64 * 1024 * 1024
"""Octets of base64 that are kept in memory."""


class AssetOctets:
    """The images of an installation, and where the world sees those that mails link to."""

    def __init__(self, database: Database, public_url: str | None) -> None:
        self.public_url = public_url.rstrip("/") if public_url else None
        self._database = database
        self._known: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    async def base64(self, hashes: Collection[str]) -> Mapping[str, bytes]:
        """The base64 lines of the images with these SHA-256 (hexadecimal); what is gone is left out."""
        if missing := [bytes.fromhex(one) for one in hashes if one not in self._known]:
            async with self._database.read() as connection:
                found = await asset.octets(connection, missing)
            for digest, (_, octets) in found.items():
                self._remember(digest.hex(), b"".join(base64_lines(octets)))
        there = {one: self._known[one] for one in hashes if one in self._known}
        for one in there:
            self._known.move_to_end(one)
        while self._size > MOST_KEPT:
            _, gone = self._known.popitem(last=False)
            self._size -= len(gone)
        return there

    def _remember(self, digest: str, lines: bytes) -> None:
        if digest not in self._known:
            self._size += len(lines)
            self._known[digest] = lines
