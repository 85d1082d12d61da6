"""A caller of the API, as tests tell their stories: submit, and wait until a status is there."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import func, select, text, update

from notifier.db.engine import Database
from notifier.db.tables import Notification, OutboxEntry, get_columns
from support.seeded_installation import WELCOME

_entry, _notification = get_columns(OutboxEntry), get_columns(Notification)


async def submit_mail(client: httpx2.AsyncClient, to: str = "ada@example.com", **fields: Any) -> str:
    """POST a welcome mail; its path."""
    reply = await client.post("/v1/notifications", json=WELCOME | {"to": to} | fields)
    assert reply.status_code == 202, reply.text
    return str(reply.headers["location"])


async def wait_for_status(
    client: httpx2.AsyncClient, path: str, *statuses: str, seconds: float = 15.0
) -> dict[str, Any]:
    """The notification once it has one of the statuses; the API offers nothing to wait on, so this asks again."""
    async with asyncio.timeout(seconds):
        while True:
            notification: dict[str, Any] = (await client.get(path)).json()
            if notification["status"] in statuses:
                return notification
            await asyncio.sleep(0.02)


async def wait_for_attempts(
    client: httpx2.AsyncClient, path: str, count: int, *, seconds: float = 15.0
) -> dict[str, Any]:
    """The notification once that many attempts are recorded."""
    async with asyncio.timeout(seconds):
        while True:
            notification: dict[str, Any] = (await client.get(path)).json()
            if len(notification["attempts"]) >= count:
                return notification
            await asyncio.sleep(0.02)


async def wait_until(condition: Callable[[], bool], *, seconds: float = 15.0) -> None:
    """Return once the condition holds; for what announces itself to nobody, such as a circuit that opens."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


async def count_entries(database: Database) -> int:
    """How many outbox entries there are."""
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(OutboxEntry))).scalar_one())


async def wait_until_drained(database: Database, *, seconds: float = 15.0) -> None:
    """Return once there is no outbox entry."""
    async with asyncio.timeout(seconds):
        while await count_entries(database):  # noqa: ASYNC110 - senders empty it
            await asyncio.sleep(0.02)


async def make_due(database: Database) -> None:
    """Bring every waiting entry's time forward to the distant past, instead of waiting for it."""
    early = text("'2026-01-01 00:00:00.000000+00:00'" if not database.is_sqlite else "'2026-01-01 00:00:00.000000'")
    async with database.write() as connection:
        await connection.execute(update(OutboxEntry).where(_entry.state == "ready").values(due_at=early))


async def set_notification(database: Database, path: str, **values: Any) -> None:
    """Change a stored notification behind the product's back."""
    async with database.write() as connection:
        id_ = path.rpartition("/")[2]
        await connection.execute(update(Notification).where(_notification.id == UUID(id_)).values(**values))
