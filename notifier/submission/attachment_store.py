"""Store and load the bytes of attachments: once for each SHA-256, in the transaction of their notification."""

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from notifier.db import tables
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.db.table_base import format_sqlite_time
from notifier.db.tables import get_columns
from notifier.mail.mail_parts import MailAttachment
from notifier.submission.attachment_validation import CheckedAttachment

_attachment = get_columns(tables.Attachment)
_KNOWN = text("SELECT sha256 FROM attachment WHERE sha256 = ANY(CAST(:digests AS bytea[]))")
_STORE_SQLITE = "INSERT OR IGNORE INTO attachment (sha256, octets, created_at) VALUES (?, ?, ?)"


async def find_missing_files(
    connection: StatementConnection, carried: Collection[tuple[UUID, CheckedAttachment]]
) -> dict[str, Any]:
    """The files that PostgreSQL does not have yet, and their notifications, as parameters of the insert."""
    digests = [file.sha256 for _, file in carried]
    known = {bytes(row.sha256) for row in await connection.execute(_KNOWN, {"digests": digests})}
    missing = [(owner, file) for owner, file in carried if file.sha256 not in known]
    return {
        "owners": [owner for owner, _ in missing],
        "digests": [file.sha256 for _, file in missing],
        "octets": [file.data for _, file in missing],
    }


def store_files_sqlite(connection: sqlite3.Connection, files: Sequence[CheckedAttachment], now: datetime) -> None:
    """Write the files that are not stored yet, in the writer's thread."""
    connection.executemany(_STORE_SQLITE, [(file.sha256, file.data, format_sqlite_time(now)) for file in files])


def describe_attachments(attachments: Sequence[CheckedAttachment]) -> list[dict[str, Any]] | None:
    """The names and hashes of the attachments, for the content row."""
    return [
        {
            "filename": file.filename,
            "content_type": file.content_type,
            "content_id": file.content_id,
            "size": len(file.data),
            "sha256": file.sha256.hex(),
        }
        for file in attachments
    ] or None


async def load_attachments(database: Database, names: Collection[dict[str, Any]]) -> list[MailAttachment] | None:
    """Load the attachments of a notification; None if some are gone."""
    if not names:
        return []
    hashes = {bytes.fromhex(name["sha256"]) for name in names}
    statement = select(_attachment.sha256, _attachment.octets).where(_attachment.sha256.in_(hashes))
    async with database.read() as connection:
        bytes_by_hash = {bytes(row.sha256): bytes(row.octets) for row in await connection.execute(statement)}
    if bytes_by_hash.keys() != hashes:
        return None
    return [
        MailAttachment(
            filename=name["filename"],
            content_type=name["content_type"],
            content_id=name["content_id"],
            data=bytes_by_hash[bytes.fromhex(name["sha256"])],
        )
        for name in names
    ]
