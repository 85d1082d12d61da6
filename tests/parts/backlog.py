"""A queue that is long, and senders whose rate is known, without sending anything."""

from datetime import timedelta
from uuid import UUID

import httpx2
from sqlalchemy import select

from notifier import wiring
from notifier.db.tables import Service, columns
from notifier.ids import new_id
from notifier.outbox import store
from notifier.outbox.handler import NewEntry
from notifier.outbox.life import Life
from notifier.states import EntryKind, Priority
from notifier.throttle.forecast import Forecast

_service = columns(Service)
MEASURED = 20
"""Seconds for which the sender has worked at one mail a second."""


async def queued(parts: wiring.Base, count: int, priority: Priority = Priority.NORMAL, service: str = "shop") -> None:
    """So many due entries of a service."""
    async with parts.database.write() as connection:
        owner = (await connection.execute(select(_service.id).where(_service.name == service))).scalar_one()
        await store.enqueue(connection, [_entry(parts, owner, priority) for _ in range(count)])


def _entry(parts: wiring.Base, service_id: UUID, priority: Priority) -> NewEntry:
    due_at = parts.clock.now() - timedelta(seconds=1)
    return NewEntry(
        id=new_id(),
        kind=EntryKind.EMAIL,
        subject_id=new_id(),
        service_id=service_id,
        priority=priority,
        due_at=due_at,
    )


async def sending(parts: wiring.Base) -> UUID:
    """A sender that has measured about one mail a second and says so with a beat; its id."""
    now = parts.clock.monotonic()
    parts.drain.left(0, now - MEASURED)
    parts.drain.left(MEASURED, now - MEASURED / 2)
    parts.drain.claimed_after(MEASURED, now)
    return await beating(parts)


async def beating(parts: wiring.Base) -> UUID:
    """A sender that says as much as is known of this process; on SQLite nobody has to be told."""
    life = Life(parts.database, new_id(), parts.clock, dead_after=30, drain=parts.drain)
    if not parts.database.is_sqlite:
        await life.beat()
    return life.boot_id


def forecast_of(client: httpx2.AsyncClient) -> Forecast:
    """What the API behind this client foresees."""
    forecast: Forecast = client._transport.app.state.doors.submitter._forecast  # type: ignore[attr-defined]
    return forecast


async def seen(client: httpx2.AsyncClient) -> None:
    """The API behind this client has seen the queue as it is now."""
    forecast = forecast_of(client)
    await forecast.close()  # an earlier look must not end after this one
    await forecast.look()
