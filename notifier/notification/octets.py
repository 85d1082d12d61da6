"""The octets of attachments, kept once for each SHA-256: written before the notification that names them.

What is written and never named, because the request failed after all, waits for the purge.
"""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from notifier.db import tables
from notifier.db.engine import Database
from notifier.db.tables import columns
from notifier.db.unavailable import unavailable_as_such
from notifier.notification.attachment import CheckedAttachment
from notifier.rendering.job import Attachment

KEEP_SECONDS = 2.5
"""Longest transaction; the driver takes two more to let go of a server that hangs."""
_attachment = columns(tables.Attachment)


async def keep(database: Database, attachments: Sequence[CheckedAttachment], now: datetime) -> None:
    """Commit the octets that are not there yet."""
    insert = sqlite.insert if database.is_sqlite else postgresql.insert
    statement = insert(tables.Attachment).on_conflict_do_nothing()
    # In one order, so that two who keep the same ones never wait for each other.
    for one in sorted(attachments, key=lambda one: one.sha256):
        with unavailable_as_such():
            async with asyncio.timeout(KEEP_SECONDS), database.write() as connection:
                known = select(_attachment.sha256).where(_attachment.sha256 == one.sha256)
                if (await connection.execute(known)).first() is None:
                    values = {"sha256": one.sha256, "octets": one.data, "created_at": now}
                    await connection.execute(statement, values)


def named(attachments: Sequence[CheckedAttachment]) -> list[dict[str, Any]] | None:
    """How a notification names its attachments."""
    return [
        {
            "filename": one.filename,
            "content_type": one.content_type,
            "content_id": one.content_id,
            "size": len(one.data),
            "sha256": one.sha256.hex(),
        }
        for one in attachments
    ] or None


async def attachments(database: Database, names: Collection[dict[str, Any]]) -> list[Attachment] | None:
    """The attachments that a notification names, with their octets; None if some are gone."""
    if not names:
        return []
    hashes = {bytes.fromhex(name["sha256"]) for name in names}
    statement = select(_attachment.sha256, _attachment.octets).where(_attachment.sha256.in_(hashes))
    async with database.read() as connection:
        found = {bytes(row.sha256): bytes(row.octets) for row in await connection.execute(statement)}
    if found.keys() != hashes:
        return None
    return [
        Attachment(
            filename=name["filename"],
            content_type=name["content_type"],
            content_id=name["content_id"],
            data=found[bytes.fromhex(name["sha256"])],
        )
        for name in names
    ]
