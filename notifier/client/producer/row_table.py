"""The table `notifier_producer` in the caller's own database: a row is one mail that was not yet confirmed.

Whoever writes a row needs to give `id` and `body` only, in SQLAlchemy or in any other language.
"""

import os
import time
from uuid import UUID

from sqlalchemy import Column, DateTime, Index, Integer, MetaData, Table, Text, Uuid, func, text

TABLE_NAME = "notifier_producer"
_VERSION, _VARIANT = 0x7 << 76, 0x2 << 62


def define_table(metadata: MetaData) -> Table:
    """The table, in your metadata, so that your migrations make it together with your own."""
    now = func.current_timestamp()
    waits = Column("refused_at", DateTime(timezone=True))
    made = Table(
        TABLE_NAME,
        metadata,
        Column("id", Uuid, primary_key=True),  # also the idempotency key
        Column("body", Text, nullable=False),  # one notification, as JSON
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=now),
        Column("due_at", DateTime(timezone=True), nullable=False, server_default=now),  # next try, or end of the lease
        Column("tries", Integer, nullable=False, server_default=text("0")),  # that the row itself may have spoiled
        Column("first_tried_at", DateTime(timezone=True)),  # since when the API may know it
        waits,
        Column("problem", Text),  # why it was refused, as JSON
    )
    here = waits.is_(None)
    Index(f"{TABLE_NAME}_due", made.c.due_at, made.c.id, postgresql_where=here, sqlite_where=here)
    return made


metadata = MetaData()
"""Metadata with nothing but the table, for `metadata.create_all(engine)`."""

TABLE = define_table(metadata)


def generate_row_id() -> UUID:
    """A UUID of version 7 with the fraction of the millisecond (RFC 9562 §6.2, method 3): later ids sort behind."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    chance = int.from_bytes(os.urandom(8), "big") >> 2
    return UUID(int=milliseconds << 80 | _VERSION | fraction << 64 | _VARIANT | chance)
