"""Addresses that must not be mailed: added when a relay says that a mailbox does not exist, asked before every send."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from notifier import address
from notifier.db.direct import Connection
from notifier.db.tables import Suppression, columns
from notifier.states import Reason

_suppression = columns(Suppression)


async def suppressed(connection: Connection, addresses: Sequence[str]) -> dict[str, Reason]:
    """Those of the addresses that must not be mailed, by key, each with the reason."""
    keys = {address.key(one) for one in addresses}
    if not keys:
        return {}
    found = await connection.execute(
        select(_suppression.address, _suppression.reason).where(_suppression.address.in_(keys))
    )
    return {row.address: row.reason for row in found}


async def suppress(connection: Connection, recipient: str, *, reason: Reason, detail: str, now: datetime) -> None:
    """Never mail this address again; the first reason stays."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    values = {"address": address.key(recipient), "reason": reason, "detail": detail[:1000], "created_at": now}
    await connection.execute(insert(Suppression).values(values).on_conflict_do_nothing(index_elements=["address"]))
