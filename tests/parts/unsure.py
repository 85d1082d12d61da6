"""Mails with an unknown outcome, because their sender crashed or their relay fell silent."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import msgspec
from sqlalchemy import select, update

from notifier import wiring
from notifier.db.engine import Database
from notifier.db.tables import Event, Notification, OutboxEntry, columns
from notifier.outbox.store import withdraw as take_back
from notifier.rendering.source import TemplateSource
from notifier.states import EntryState
from notifier.templating.folder import files
from parts import caller, published
from parts.dead import DeadSender
from parts.installation import Installation
from parts.relay import DROP, Relay

_entry, _notification, _event = columns(OutboxEntry), columns(Notification), columns(Event)


async def publish_holding_welcome(parts: wiring.Base) -> None:
    """Publish `welcome` so that an unknown outcome is held for a person."""
    source = files.read(Path("templates"), "welcome")
    held = TemplateSource(
        files=source.files,
        sample=source.sample,
        settings=msgspec.structs.replace(source.settings, when_uncertain="hold"),
    )
    async with parts.database.write() as connection:
        await published.publish(connection, "welcome", held)


async def lost_after_the_dot(
    parts: wiring.Base, client: httpx2.AsyncClient, relay: Relay, to: str = "bob@example.com"
) -> str:
    """The path of a mail that the relay took without a word; with `resend` it waits for its resend."""
    relay.say(to, "DOT", DROP)
    async with wiring.sender(parts):
        path = await caller.submit(client, to)
        await caller.until(client, path, "unknown")
    return path


async def left_by_the_dead(
    installation: Installation, parts: wiring.Base, client: httpx2.AsyncClient
) -> tuple[str, DeadSender]:
    """The path of a mail whose sender died with the body permitted, and that sender; nothing is in its journal."""
    path = await caller.submit(client, "bob@example.com")
    await caller.make_due(parts.database)
    sender = DeadSender(parts.database, installation.settings.data_dir / "journal")
    await sender.mark(await sender.claim())
    return path, sender


def id_in(path: str) -> UUID:
    """Get the notification's id from its path."""
    return UUID(path.rpartition("/")[2])


async def entry_of(database: Database, path: str) -> OutboxEntry | None:
    """Read the outbox entry of a notification; there is never more than one."""
    async with database.read() as connection:
        result = await connection.execute(select(OutboxEntry).where(_entry.subject_id == id_in(path)))
        row = result.mappings().one_or_none()
    return OutboxEntry(**row) if row else None


async def asked(client: httpx2.AsyncClient, path: str, what: str, **body: Any) -> tuple[int, str]:
    """Status of the reply, and the notification's status or the problem's code."""
    reply = await client.post(f"{path}/{what}", json=body) if body else await client.post(f"{path}/{what}")
    answer = reply.json()
    return reply.status_code, answer["status"] if reply.status_code == 200 else answer["code"]


async def everything(parts: wiring.Base, path: str) -> tuple[object, ...]:
    """Read everything that a refused change must leave unchanged."""
    entry = await entry_of(parts.database, path)
    row = await row_of(parts.database, path)
    return row.model_dump(), entry and entry.model_dump(), await events_of(parts.database, path)


async def until_marked(database: Database, path: str, *, seconds: float = 15.0) -> None:
    """Return once the body is permitted; only the table says so."""
    async with asyncio.timeout(seconds):
        while (entry := await entry_of(database, path)) is None or entry.marked_at is None:  # noqa: ASYNC110 - none
            await asyncio.sleep(0.01)


async def withdraw(database: Database, path: str) -> bool:
    """Delete its entry, so that nothing more is done about it."""
    row = await row_of(database, path)
    async with database.write() as connection:
        return await take_back(connection, row.service_id, row.id)


async def row_of(database: Database, path: str) -> Notification:
    """Read the notification from the table."""
    async with database.read() as connection:
        result = await connection.execute(select(Notification).where(_notification.id == id_in(path)))
        return Notification(**result.mappings().one())


async def events_of(database: Database, path: str) -> list[tuple[str, str, str]]:
    """Read kind, actor and detail of each event."""
    statement = select(_event.kind, _event.actor, _event.detail).where(_event.notification_id == id_in(path))
    async with database.read() as connection:
        return [tuple(row) for row in await connection.execute(statement.order_by(_event.id))]


async def hold(database: Database, path: str) -> None:
    """Hold the entry for a person, as after a second loss."""
    async with database.write() as connection:
        await connection.execute(
            update(OutboxEntry).where(_entry.subject_id == id_in(path)).values(state=EntryState.HELD)
        )
