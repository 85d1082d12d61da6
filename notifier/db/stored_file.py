"""Files that are stored once for each SHA-256: attachments and converted images.

Nothing counts who names a file. Whoever begins to name one that exists, or ends, renews its time in the same
transaction or in one before. The purge deletes only files whose time is older than `UNNAMED_KEPT`.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from notifier.db.dialect import build_insert
from notifier.db.direct_connections import StatementConnection
from notifier.db.tables import AssetFile, Attachment, get_columns

UNNAMED_KEPT = timedelta(days=1)
"""How long a file is kept after its time was renewed. A request that names it is written within seconds."""
RENEWAL_AFTER = timedelta(hours=1)
"""How old the time of a file is before it is renewed, because each renewal is a write."""


async def write_file(
    connection: StatementConnection, table: type[Attachment] | type[AssetFile], row: Mapping[str, Any]
) -> None:
    """Write a file, or renew the time of the one with the same hash."""
    columns = get_columns(table)
    statement = build_insert(connection, table).values(dict(row))
    renewed = statement.on_conflict_do_update(
        index_elements=[columns.sha256],
        set_={"created_at": statement.excluded.created_at},
        where=columns.created_at <= row["created_at"] - RENEWAL_AFTER,
    )
    await connection.execute(renewed)


async def renew_files(
    connection: StatementConnection,
    table: type[Attachment] | type[AssetFile],
    hashes: Collection[bytes],
    now: datetime,
) -> None:
    """Renew the time of these files, in the order of their hashes, so that two writers do not deadlock."""
    if not hashes:
        return
    columns = get_columns(table)
    old = select(columns.sha256).where(columns.sha256.in_(hashes), columns.created_at <= now - RENEWAL_AFTER)
    ordered = old.order_by(columns.sha256).with_for_update()
    await connection.execute(update(table).where(columns.sha256.in_(ordered)).values(created_at=now))
