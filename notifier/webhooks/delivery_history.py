"""What an endpoint was told: deliveries and their tries, telling again, and a test of the way there.

Functions take the connection and never commit; whoever asks has looked whether the endpoint is the service's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookEvent, get_columns
from notifier.db.tables.webhook import DeliveryState
from notifier.errors import NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.outbox import entry_store
from notifier.webhooks import delivery_writer, event_body
from notifier.webhooks.handler import build_delivery_row

MAX_ATTEMPTS_SHOWN = 200  # tries of one webhook delivery that are shown: the newest
MAX_REPLAYED = 1000
"""Deliveries that one request replays."""
_delivery, _attempt, _event = get_columns(WebhookDelivery), get_columns(WebhookAttempt), get_columns(WebhookEvent)


class EndpointDisabledError(NotifierError):
    """The endpoint is disabled: enable it first."""


@dataclass(frozen=True, kw_only=True)
class ReplayResult:
    """What was put in again."""

    count: int
    more: bool  # there are others: ask again


@dataclass(frozen=True, kw_only=True)
class DeliveryView:
    """A delivery in a list."""

    id: UUID
    event_id: UUID
    type: str
    state: DeliveryState
    tries: int
    created_at: datetime
    ended_at: datetime | None
    next_attempt_at: datetime | None


async def list_deliveries(
    connection: AsyncConnection, endpoint_id: UUID, *, state: DeliveryState | None, before: UUID | None, limit: int
) -> list[DeliveryView]:
    """Deliveries of an endpoint, newest first."""
    statement = select(WebhookDelivery).where(_delivery.endpoint_id == endpoint_id)
    if state is not None:
        statement = statement.where(_delivery.state == state)
    if before is not None:
        statement = statement.where(_delivery.id < before)
    found = (await connection.execute(statement.order_by(_delivery.id.desc()).limit(limit))).mappings().all()
    names = DeliveryView.__dataclass_fields__
    return [DeliveryView(**{name: row[name] for name in names}) for row in await _shown(connection, found)]


async def get_delivery(connection: AsyncConnection, endpoint_id: UUID, id_: UUID) -> dict[str, Any]:
    """One delivery with its newest tries, oldest first. Raises `NotFoundError`."""
    (shown,) = await _shown(connection, [await _row(connection, endpoint_id, id_)])
    tries = select(WebhookAttempt).where(_attempt.delivery_id == id_).order_by(_attempt.id.desc())
    newest = (await connection.execute(tries.limit(MAX_ATTEMPTS_SHOWN))).mappings().all()
    shown["attempts"] = [dict(row) for row in reversed(newest)]
    return shown


async def _row(connection: AsyncConnection, endpoint_id: UUID, id_: UUID) -> RowMapping:
    statement = select(WebhookDelivery).where(_delivery.endpoint_id == endpoint_id, _delivery.id == id_)
    found = (await connection.execute(statement)).mappings().one_or_none()
    if found is None:
        raise NotFoundError("there is no such delivery")
    return found


async def _shown(connection: AsyncConnection, rows: Sequence[RowMapping]) -> list[dict[str, Any]]:
    """Those of one endpoint, with the number of tries, and when the next one is due."""
    ids = [row["id"] for row in rows]
    counted = (
        select(_attempt.delivery_id, func.count().label("tries"))
        .where(_attempt.delivery_id.in_(ids))
        .group_by(_attempt.delivery_id)
    )
    tries = {row.delivery_id: int(row.tries) for row in await connection.execute(counted)}
    pending = [row["id"] for row in rows if row["state"] == DeliveryState.PENDING]
    due = await entry_store.get_due_times(connection, rows[0]["service_id"], pending) if pending else {}
    return [dict(row) | {"tries": tries.get(row["id"], 0), "next_attempt_at": due.get(row["id"])} for row in rows]


async def replay_delivery(
    connection: AsyncConnection, endpoint: WebhookEndpoint, id_: UUID, now: datetime
) -> dict[str, Any]:
    """Tell an event again, under the same id and in the same octets, as a delivery of its own."""
    _require_enabled(endpoint)
    row = await _row(connection, endpoint.id, id_)
    (new,) = await _again(connection, [row], now)
    return await get_delivery(connection, endpoint.id, new)


async def replay_failed_deliveries(
    connection: AsyncConnection, endpoint: WebhookEndpoint, since: datetime, now: datetime
) -> ReplayResult:
    """Tell again what failed since then and has not been told since, oldest first."""
    _require_enabled(endpoint)
    statement = (
        select(WebhookDelivery)
        .where(_delivery.endpoint_id == endpoint.id, _delivery.state == DeliveryState.FAILED)
        .where(_delivery.created_at >= since, ~_told_later())
        .order_by(_delivery.id)
        .limit(MAX_REPLAYED + 1)
    )
    found = (await connection.execute(statement)).mappings().all()
    await _again(connection, found[:MAX_REPLAYED], now)
    return ReplayResult(count=min(len(found), MAX_REPLAYED), more=len(found) > MAX_REPLAYED)


def _told_later() -> Any:
    """The condition that the same event has a later delivery to the same endpoint: it was put in again already."""
    other = WebhookDelivery.__table__.alias("later")  # type: ignore[attr-defined]
    return (
        select(other.c.id)
        .where(other.c.event_id == _delivery.event_id, other.c.endpoint_id == _delivery.endpoint_id)
        .where(other.c.id > _delivery.id)
        .exists()
    )


async def _again(connection: AsyncConnection, rows: Sequence[RowMapping], now: datetime) -> list[UUID]:
    new = [
        build_delivery_row(row["event_id"], row["endpoint_id"], row["service_id"], row["type"], row["body"])
        | {"at": now}
        for row in rows
    ]
    await delivery_writer.insert_deliveries(connection, new)
    return [one["id"] for one in new]


async def send_test_event(connection: AsyncConnection, endpoint: WebhookEndpoint, now: datetime) -> dict[str, Any]:
    """Send an event by which nothing has happened, to this endpoint only, by the way that all others go."""
    _require_enabled(endpoint)
    event = {
        "id": generate_id(),
        "service_id": endpoint.service_id,
        "sequence": 0,
        "type": event_body.TEST_EVENT_TYPE,
        "at": now,
    }
    await connection.execute(insert(WebhookEvent).values(event))
    text = event_body.build_test_body(endpoint.id, now)
    row = build_delivery_row(event["id"], endpoint.id, endpoint.service_id, event_body.TEST_EVENT_TYPE, text) | {
        "at": now
    }
    await delivery_writer.insert_deliveries(connection, [row])
    return await get_delivery(connection, endpoint.id, row["id"])


def _require_enabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.disabled_at is not None:
        raise EndpointDisabledError
