"""Deletes attachments and image files that nothing names any more.

Nothing counts references. A writer renews the time of a file when it names a file that exists already, and when an
image gives a file up; the purge deletes only files whose time is over a day old. So a file that is about to be named is
safe, however the purge and the writer overlap (docs/decisions/retention.md).
"""

import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import is_sqlite
from notifier.db.engine import Database
from notifier.db.stored_file import UNNAMED_KEPT
from notifier.db.tables import Asset, AssetFile, Attachment, TemplateVersion, get_columns
from notifier.retention.purge_step import FIRST_ID, PurgePhase, PurgeProgress, PurgeStep

MAX_FILES = 100
"""Files that one step looks at."""
MAX_DELETED_BYTES = 4 * 1024 * 1024
"""Bytes of files that one step deletes, unless a single one has more."""
MAX_VERSIONS = 50
"""Template versions that one query reads."""
_attachment, _file = get_columns(Attachment), get_columns(AssetFile)
_asset, _version = get_columns(Asset), get_columns(TemplateVersion)
_NAMED_POSTGRES = text("""
SELECT f.sha256 FROM unnest(CAST(:hashes AS text[])) AS f(sha256)
WHERE (SELECT c.notification_id FROM notification_content AS c
       WHERE c.attachments IS NOT NULL
         AND c.attachments @> jsonb_build_array(jsonb_build_object('sha256', f.sha256)) LIMIT 1) IS NOT NULL""")
_NAMED_SQLITE = text("""
SELECT DISTINCT f.value ->> 'sha256' FROM notification_content AS c, json_each(c.attachments) AS f
WHERE c.attachments IS NOT NULL AND f.value ->> 'sha256' IN (SELECT value FROM json_each(:hashes))""")


class _FilePurge(PurgePhase):
    """What attachments and image files have in common. The hash is the cursor."""

    table: type[Attachment] | type[AssetFile]
    counted = ""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self, step: PurgeStep) -> tuple[list[bytes], bytes | None]:
        """Find the next files that nothing names; and the last one that was looked at, None if there are no more.

        Whatever names a file after this look renews its time, and `apply` sees that.
        """
        columns = get_columns(self.table)
        after = bytes.fromhex(step.after) if step.after else b""
        query = (
            select(columns.sha256, func.length(columns.octets).label("size"))
            .where(columns.sha256 > after, columns.created_at <= step.now - UNNAMED_KEPT)
            .order_by(columns.sha256)
            .limit(MAX_FILES)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        named = await self._find_named([bytes(row.sha256) for row in rows]) if rows else set()
        chosen: list[bytes] = []
        size = 0
        for row in rows:
            if bytes(row.sha256) in named:
                continue
            size += row.size
            if chosen and size > MAX_DELETED_BYTES:
                return chosen, chosen[-1]
            chosen.append(bytes(row.sha256))
        return chosen, bytes(rows[-1].sha256) if len(rows) == MAX_FILES else None

    async def apply(self, connection: AsyncConnection, step: PurgeStep, prepared: Any) -> PurgeProgress:
        """Delete those whose time nobody has renewed since."""
        files, last = prepared
        columns = get_columns(self.table)
        if files:
            # In order, as writers renew them, so that nobody deadlocks; and locked, so that the time is the newest.
            due = select(columns.sha256).where(columns.sha256.in_(files), columns.created_at <= step.now - UNNAMED_KEPT)
            locked = await connection.execute(due.order_by(columns.sha256).with_for_update())
            files = [bytes(row.sha256) for row in locked]
        if files:
            await connection.execute(delete(self.table).where(columns.sha256.in_(files)))
        return PurgeProgress(after=last.hex() if last is not None else None, counts={self.counted: len(files)})

    @abstractmethod
    async def _find_named(self, files: Sequence[bytes]) -> set[bytes]:
        """Find those that something names; it may return others as well."""


class AttachmentPurge(_FilePurge):
    """Deletes attachments, and uploads of images."""

    name = "attachments"
    table = Attachment
    counted = "attachments"

    async def _find_named(self, files: Sequence[bytes]) -> set[bytes]:
        hashes: Any = [digest.hex() for digest in files]
        async with self._database.read() as connection:
            originals = await connection.execute(select(_asset.original).where(_asset.original.in_(files)))
            named = {bytes(original) for original in originals.scalars()}
            sqlite = is_sqlite(connection)
            statement, hashes = (_NAMED_SQLITE, json.dumps(hashes)) if sqlite else (_NAMED_POSTGRES, hashes)
            rows = await connection.execute(statement, {"hashes": hashes})
            return named | {bytes.fromhex(digest) for digest in rows.scalars()}


class AssetFilePurge(_FilePurge):
    """Deletes converted images that neither an image nor a template version names."""

    name = "asset_files"
    table = AssetFile
    counted = "asset_files"

    async def _find_named(self, files: Sequence[bytes]) -> set[bytes]:
        async with self._database.read() as connection:
            stored = await connection.execute(select(_asset.files).where(_asset.files.is_not(None)))
            named = {digest for assets in stored.scalars() for digest in _list_hashes(assets)}
        after = FIRST_ID
        while not set(files) <= named:
            query = select(_version.id, _version.source["assets"].label("assets")).where(_version.id > after)
            async with self._database.read() as connection:
                versions = (await connection.execute(query.order_by(_version.id).limit(MAX_VERSIONS))).all()
            if not versions:
                break
            after = versions[-1].id
            named |= {digest for version in versions for digest in _list_hashes(version.assets)}
        return named


def _list_hashes(files: Any) -> Iterator[bytes]:
    """The SHA-256 of each file in a mapping from a name to a description."""
    for description in (files or {}).values():
        yield bytes.fromhex(description["sha256"])
