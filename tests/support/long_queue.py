"""A long queue and senders with a known rate, without sending anything."""

from datetime import timedelta
from uuid import UUID

import httpx2
from sqlalchemy import select

from notifier.db.tables import Service, get_columns
from notifier.ids import generate_id
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import NewEntry
from notifier.outbox.heartbeat import Heartbeat
from notifier.runtime import wiring
from notifier.states import EntryKind, Priority
from notifier.throttle.queue_forecast import QueueForecast

_service = get_columns(Service)
MEASURED = 20
"""Seconds for which the sender has worked at one mail a second."""


async def queue_entries(
    parts: wiring.ProcessParts, count: int, priority: Priority = Priority.NORMAL, service: str = "shop"
) -> None:
    """Add so many due entries of a service."""
    async with parts.database.write() as connection:
        owner = (await connection.execute(select(_service.id).where(_service.name == service))).scalar_one()
        await entry_store.enqueue_entries(connection, [_entry(parts, owner, priority) for _ in range(count)])


def _entry(parts: wiring.ProcessParts, service_id: UUID, priority: Priority) -> NewEntry:
    due_at = parts.clock.now() - timedelta(seconds=1)
    return NewEntry(
        id=generate_id(),
        kind=EntryKind.EMAIL,
        subject_id=generate_id(),
        service_id=service_id,
        priority=priority,
        due_at=due_at,
    )


async def add_measured_sender(parts: wiring.ProcessParts) -> UUID:
    """Add a sender with a measured rate of about one mail a second; return its id."""
    now = parts.clock.monotonic()
    parts.throughput.record_departures(0, now - MEASURED)
    parts.throughput.record_departures(MEASURED, now - MEASURED / 2)
    parts.throughput.record_waiting_time(MEASURED, now)
    return await write_heartbeat(parts)


async def write_heartbeat(parts: wiring.ProcessParts) -> UUID:
    """Write the heartbeat of a sender; on SQLite none is needed."""
    life = Heartbeat(parts.database, generate_id(), parts.clock, dead_after=30, throughput=parts.throughput)
    if not parts.database.is_sqlite:
        await life.beat()
    return life.boot_id


def get_forecast(client: httpx2.AsyncClient) -> QueueForecast:
    """Get the queue forecast of the API behind this client."""
    forecast: QueueForecast = client._transport.app.state.dependencies.submitter._forecast  # type: ignore[attr-defined]
    return forecast


async def refresh_forecast(client: httpx2.AsyncClient) -> None:
    """Make the API behind this client measure the queue now."""
    forecast = get_forecast(client)
    await forecast.close()  # an earlier count must not end after this one
    await forecast.refresh()
