"""The table `notifier_producer` in the caller's own database: a row is a mail that is not confirmed yet.

A writer, in any language, has to set `id` and `body` only.
"""

import os
import time
from uuid import UUID

from sqlalchemy import Column, DateTime, Index, Integer, MetaData, Table, Text, Uuid, func, text

TABLE_NAME = "notifier_producer"
_VERSION, _VARIANT = 0x7 << 76, 0x2 << 62


def define_table(metadata: MetaData) -> Table:
    """Define the table in your metadata, so that your migrations create it."""
    now = func.current_timestamp()
    refused_at = Column("refused_at", DateTime(timezone=True))
    definition = Table(
        TABLE_NAME,
        metadata,
        Column("id", Uuid, primary_key=True),  # also the idempotency key
        Column("body", Text, nullable=False),  # one notification, as JSON
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=now),
        Column("due_at", DateTime(timezone=True), nullable=False, server_default=now),  # next try, or end of the lease
        Column(
            "tries", Integer, nullable=False, server_default=text("0")
        ),  # that failed and may be the fault of this row
        Column("first_tried_at", DateTime(timezone=True)),  # since when the API may have it
        refused_at,
        Column("problem", Text),  # why it was refused, as JSON
    )
    is_waiting = refused_at.is_(None)
    columns = (definition.c.due_at, definition.c.id)
    Index(f"{TABLE_NAME}_due", *columns, postgresql_where=is_waiting, sqlite_where=is_waiting)
    return definition


metadata = MetaData()
"""Metadata with this table only, for `metadata.create_all(engine)`."""

TABLE = define_table(metadata)


def generate_row_id() -> UUID:
    """Generate a UUID of version 7 with fractions of a millisecond (RFC 9562 §6.2, method 3); ids sort by time."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    noise = int.from_bytes(os.urandom(8), "big") >> 2
    return UUID(int=milliseconds << 80 | _VERSION | fraction << 64 | _VARIANT | noise)
