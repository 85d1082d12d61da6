"""Mails with an unknown outcome, because their sender crashed or their relay did not reply."""

from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import msgspec
from sqlalchemy import select, update

from notifier.db.engine import Database
from notifier.db.tables import Notification, NotificationEvent, OutboxEntry, get_columns
from notifier.outbox.entry_store import withdraw_entry as take_back
from notifier.runtime import wiring
from notifier.states import EntryState
from notifier.template_language.template_source import TemplateSource
from notifier.templating.sync import template_files
from support import api_caller, published_template
from support.crashed_sender import CrashedSender
from support.polling import poll_until
from support.scripted_relay import DROP, ScriptedRelay
from support.seeded_installation import Installation

_entry, _notification, _event = get_columns(OutboxEntry), get_columns(Notification), get_columns(NotificationEvent)


async def publish_holding_welcome(parts: wiring.ProcessParts) -> None:
    """Publish `welcome` with the setting that holds unknown outcomes for a person."""
    source = template_files.read_template(Path("templates"), "welcome")
    held = TemplateSource(
        files=source.files,
        sample=source.sample,
        settings=msgspec.structs.replace(source.settings, when_uncertain="hold"),
    )
    async with parts.database.write() as connection:
        await published_template.publish_template(connection, "welcome", held)


async def lose_after_dot(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay, to: str = "bob@example.com"
) -> str:
    """Send a mail whose connection drops after the dot; return its path once it is `unknown`."""
    relay.say(to, "DOT", DROP)
    async with wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, to)
        await api_caller.wait_for_status(client, path, "unknown")
    return path


async def lose_with_sender(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> tuple[str, CrashedSender]:
    """Submit a mail and permit its body to a sender without a journal record; return path and sender."""
    path = await api_caller.submit_mail(client, "bob@example.com")
    await api_caller.make_due(parts.database)
    sender = CrashedSender(parts.database, installation.settings.data_dir / "journal")
    await sender.mark(await sender.claim())
    return path, sender


def get_id(path: str) -> UUID:
    """Get the notification's id from its path."""
    return UUID(path.rpartition("/")[2])


async def read_entry(database: Database, path: str) -> OutboxEntry | None:
    """Read the outbox entry of a notification; there is never more than one."""
    async with database.read() as connection:
        result = await connection.execute(select(OutboxEntry).where(_entry.subject_id == get_id(path)))
        row = result.mappings().one_or_none()
    return OutboxEntry(**row) if row else None


async def request_change(client: httpx2.AsyncClient, path: str, what: str, **body: Any) -> tuple[int, str]:
    """Request a change; return the reply's status, and the notification's status or the problem's code."""
    reply = await client.post(f"{path}/{what}", json=body) if body else await client.post(f"{path}/{what}")
    answer = reply.json()
    return reply.status_code, answer["status"] if reply.status_code == 200 else answer["code"]


async def read_everything(parts: wiring.ProcessParts, path: str) -> tuple[object, ...]:
    """Read everything that a refused change must leave unchanged."""
    entry = await read_entry(parts.database, path)
    row = await read_notification(parts.database, path)
    return row.model_dump(), entry and entry.model_dump(), await read_events(parts.database, path)


async def until_marked(database: Database, path: str) -> None:
    """Poll the table until the body is permitted."""

    async def is_marked() -> bool:
        entry = await read_entry(database, path)
        return entry is not None and entry.marked_at is not None

    await poll_until(is_marked)


async def delete_entry(database: Database, path: str) -> bool:
    """Delete the outbox entry, so that nothing more happens."""
    row = await read_notification(database, path)
    async with database.write() as connection:
        return await take_back(connection, row.service_id, row.id)


async def read_notification(database: Database, path: str) -> Notification:
    """Read the notification from the table."""
    async with database.read() as connection:
        result = await connection.execute(select(Notification).where(_notification.id == get_id(path)))
        return Notification(**result.mappings().one())


async def read_events(database: Database, path: str) -> list[tuple[str, str, str]]:
    """Read kind, actor and detail of each event."""
    statement = select(_event.kind, _event.actor, _event.detail).where(_event.notification_id == get_id(path))
    async with database.read() as connection:
        return [tuple(row) for row in await connection.execute(statement.order_by(_event.id))]


async def hold_entry(database: Database, path: str) -> None:
    """Hold the entry for a person, as after a second loss."""
    async with database.write() as connection:
        await connection.execute(
            update(OutboxEntry).where(_entry.subject_id == get_id(path)).values(state=EntryState.HELD)
        )
