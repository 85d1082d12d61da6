"""Addresses that must not be mailed: added when a relay says that a mailbox does not exist, asked before every send."""

from datetime import datetime

from sqlalchemy.dialects import postgresql, sqlite

from notifier import address
from notifier.db.direct import Connection
from notifier.db.tables import INSTANCE, Suppression
from notifier.ids import new_id
from notifier.states import Category, SuppressionReason, SuppressionScope

_ONE_EACH = ["address", "service_id", "scope"]


def barring(address: str, *, service: str, category: str, now: str) -> str:
    """The text of a SELECT of why an address must not be mailed; all four are expressions. The same on both databases.

    An opt-out from marketing bars nothing else, and a service's own suppression bars no other service.
    """
    return f"""SELECT s.reason FROM suppression AS s
    WHERE s.address = {address} AND s.service_id IN ('{INSTANCE.hex}', {service})
      AND (s.scope = '{SuppressionScope.ALL}' OR {category} = '{Category.MARKETING}')
      AND (s.expires_at IS NULL OR s.expires_at > {now})"""  # noqa: S608 - expressions of our own


async def suppress(
    connection: Connection, recipient: str, *, reason: SuppressionReason, detail: str, now: datetime
) -> None:
    """Never mail this address again, whoever asks; the first reason stays."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    values = {
        "id": new_id(),
        "address": address.key(recipient),
        "service_id": INSTANCE,
        "scope": SuppressionScope.ALL,
        "reason": reason,
        "detail": detail[:1000],
        "created_by": "sender",
        "created_at": now,
    }
    await connection.execute(insert(Suppression).values(values).on_conflict_do_nothing(index_elements=_ONE_EACH))
