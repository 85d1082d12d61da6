"""Addresses that must not be mailed: added when a relay says that a mailbox does not exist, asked before every send."""

from datetime import datetime

from sqlalchemy.dialects import postgresql, sqlite

from notifier import address
from notifier.db.direct import Connection
from notifier.db.tables import Suppression
from notifier.states import Reason


async def suppress(connection: Connection, recipient: str, *, reason: Reason, detail: str, now: datetime) -> None:
    """Never mail this address again; the first reason stays."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    values = {"address": address.key(recipient), "reason": reason, "detail": detail[:1000], "created_at": now}
    await connection.execute(insert(Suppression).values(values).on_conflict_do_nothing(index_elements=["address"]))
