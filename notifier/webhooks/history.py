"""The deliveries of an endpoint: list and get them with their attempts, replay them, send a test event.

Functions take the connection and never commit. The caller has checked that the endpoint belongs to the service.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Action, Doer
from notifier.db.tables import WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookEvent, columns
from notifier.db.tables.webhook import DeliveryState
from notifier.errors import NotFoundError, NotifierError
from notifier.ids import new_id
from notifier.outbox import store
from notifier.webhooks import body, record
from notifier.webhooks.deliver import new_delivery
from notifier.webhooks.endpoint import record_audit

MAX_TRIES_SHOWN = 200  # tries of one webhook delivery that are shown: the newest
MOST_REPLAYED = 1000
"""Deliveries that one request replays."""
_delivery, _attempt = columns(WebhookDelivery), columns(WebhookAttempt)


class EndpointDisabledError(NotifierError):
    """The endpoint is disabled: enable it first."""


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """How many deliveries were replayed."""

    count: int
    more: bool  # there are others: replay again


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


async def page(
    connection: AsyncConnection, endpoint_id: UUID, *, state: DeliveryState | None, before: UUID | None, limit: int
) -> list[DeliveryView]:
    """List the deliveries of an endpoint, newest first."""
    statement = select(WebhookDelivery).where(_delivery.endpoint_id == endpoint_id)
    if state is not None:
        statement = statement.where(_delivery.state == state)
    if before is not None:
        statement = statement.where(_delivery.id < before)
    rows = (await connection.execute(statement.order_by(_delivery.id.desc()).limit(limit))).mappings().all()
    names = DeliveryView.__dataclass_fields__
    return [DeliveryView(**{name: row[name] for name in names}) for row in await _add_progress(connection, rows)]


async def one(connection: AsyncConnection, endpoint_id: UUID, id_: UUID) -> dict[str, Any]:
    """Get a delivery with its newest attempts, oldest first. Raises `NotFoundError`."""
    (delivery,) = await _add_progress(connection, [await _get_row(connection, endpoint_id, id_)])
    attempts = select(WebhookAttempt).where(_attempt.delivery_id == id_).order_by(_attempt.id.desc())
    newest = (await connection.execute(attempts.limit(MAX_TRIES_SHOWN))).mappings().all()
    return delivery | {"attempts": [dict(row) for row in reversed(newest)]}


async def _get_row(connection: AsyncConnection, endpoint_id: UUID, id_: UUID) -> RowMapping:
    statement = select(WebhookDelivery).where(_delivery.endpoint_id == endpoint_id, _delivery.id == id_)
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such delivery")
    return row


async def _add_progress(connection: AsyncConnection, rows: Sequence[RowMapping]) -> list[dict[str, Any]]:
    """Add to deliveries of one endpoint the number of their attempts, and when the next one is due."""
    ids = [row["id"] for row in rows]
    count = (
        select(_attempt.delivery_id, func.count().label("tries"))
        .where(_attempt.delivery_id.in_(ids))
        .group_by(_attempt.delivery_id)
    )
    tries = {row.delivery_id: int(row.tries) for row in await connection.execute(count)}
    pending = [row["id"] for row in rows if row["state"] == DeliveryState.PENDING]
    due = await store.due(connection, rows[0]["service_id"], pending) if pending else {}
    return [dict(row) | {"tries": tries.get(row["id"], 0), "next_attempt_at": due.get(row["id"])} for row in rows]


async def replay(connection: AsyncConnection, endpoint: WebhookEndpoint, id_: UUID, *, actor: Doer) -> dict[str, Any]:
    """Send an event again as a new delivery, with the same id and the same bytes. Raises `EndpointDisabledError`."""
    _require_enabled(endpoint)
    row = await _get_row(connection, endpoint.id, id_)
    (new,) = await _insert_again(connection, [row], actor.at)
    await record_audit(connection, Action.WEBHOOK_REPLAYED, endpoint, actor, after={"of": id_})
    return await one(connection, endpoint.id, new)


async def replay_failed(
    connection: AsyncConnection, endpoint: WebhookEndpoint, since: datetime, *, actor: Doer
) -> Replayed:
    """Replay the failed deliveries created since then that were not replayed yet, oldest first."""
    _require_enabled(endpoint)
    statement = (
        select(WebhookDelivery)
        .where(_delivery.endpoint_id == endpoint.id, _delivery.state == DeliveryState.FAILED)
        .where(_delivery.created_at >= since, ~_is_replayed())
        .order_by(_delivery.id)
        .limit(MOST_REPLAYED + 1)
    )
    failed = (await connection.execute(statement)).mappings().all()
    result = Replayed(count=min(len(failed), MOST_REPLAYED), more=len(failed) > MOST_REPLAYED)
    await _insert_again(connection, failed[:MOST_REPLAYED], actor.at)
    after = {"since": since, "count": result.count}
    await record_audit(connection, Action.WEBHOOK_REPLAYED, endpoint, actor, after=after)
    return result


def _is_replayed() -> Any:
    """The condition that the same event has a later delivery to the same endpoint."""
    later = WebhookDelivery.__table__.alias("later")  # type: ignore[attr-defined]
    return (
        select(later.c.id)
        .where(later.c.event_id == _delivery.event_id, later.c.endpoint_id == _delivery.endpoint_id)
        .where(later.c.id > _delivery.id)
        .exists()
    )


async def _insert_again(connection: AsyncConnection, rows: Sequence[RowMapping], now: datetime) -> list[UUID]:
    new = [
        new_delivery(row["event_id"], row["endpoint_id"], row["service_id"], row["type"], row["body"]) | {"at": now}
        for row in rows
    ]
    await record.enqueue(connection, new)
    return [row["id"] for row in new]


async def test(connection: AsyncConnection, endpoint: WebhookEndpoint, *, actor: Doer) -> dict[str, Any]:
    """Send the event `webhook.test` to this endpoint only, through the queue that all events use."""
    _require_enabled(endpoint)
    event = {"id": new_id(), "service_id": endpoint.service_id, "sequence": 0, "type": body.TEST, "at": actor.at}
    await connection.execute(insert(WebhookEvent).values(event))
    text = body.of_test(endpoint.id, actor.at)
    row = new_delivery(event["id"], endpoint.id, endpoint.service_id, body.TEST, text) | {"at": actor.at}
    await record.enqueue(connection, [row])
    await record_audit(connection, Action.WEBHOOK_TESTED, endpoint, actor)
    return await one(connection, endpoint.id, row["id"])


def _require_enabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.disabled_at is not None:
        raise EndpointDisabledError
