"""Steps of a story over the API: submit a mail, wait for a status."""

from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import func, select, text, update

from notifier.db.engine import Database
from notifier.db.tables import Notification, OutboxEntry, get_columns
from support.polling import poll_until
from support.seeded_installation import WELCOME

_entry, _notification = get_columns(OutboxEntry), get_columns(Notification)


async def submit_mail(client: httpx2.AsyncClient, to: str = "ada@example.com", **fields: Any) -> str:
    """POST a welcome mail; return its path."""
    reply = await client.post("/v1/notifications", json=WELCOME | {"to": to} | fields)
    assert reply.status_code == 202, reply.text
    return str(reply.headers["location"])


async def wait_for_status(client: httpx2.AsyncClient, path: str, *statuses: str) -> dict[str, Any]:
    """Poll until the notification has one of the statuses, and return it."""

    async def get_notification() -> dict[str, Any] | None:
        notification: dict[str, Any] = (await client.get(path)).json()
        return notification if notification["status"] in statuses else None

    return await poll_until(get_notification)


async def wait_for_attempts(client: httpx2.AsyncClient, path: str, count: int) -> dict[str, Any]:
    """Poll until the notification has that many attempts, and return it."""

    async def get_notification() -> dict[str, Any] | None:
        notification: dict[str, Any] = (await client.get(path)).json()
        return notification if len(notification["attempts"]) >= count else None

    return await poll_until(get_notification)


async def count_entries(database: Database) -> int:
    """Count the outbox entries."""
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(OutboxEntry))).scalar_one())


async def wait_until_drained(database: Database) -> None:
    """Return once there is no outbox entry."""

    async def is_empty() -> bool:
        return await count_entries(database) == 0

    await poll_until(is_empty)


async def make_due(database: Database) -> None:
    """Make all waiting entries due now."""
    early = text("'2026-01-01 00:00:00.000000+00:00'" if not database.is_sqlite else "'2026-01-01 00:00:00.000000'")
    async with database.write() as connection:
        await connection.execute(update(OutboxEntry).where(_entry.state == "ready").values(due_at=early))


async def set_notification(database: Database, path: str, **values: Any) -> None:
    """Change the row of a notification directly."""
    async with database.write() as connection:
        id_ = path.rpartition("/")[2]
        await connection.execute(update(Notification).where(_notification.id == UUID(id_)).values(**values))
