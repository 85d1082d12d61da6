"""The deliveries of an endpoint: list, get and replay them, and send a test event.

Functions take the connection and never commit. An endpoint of another service is reported as not found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.db.tables import WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookEvent, get_columns
from notifier.db.tables.webhook import DeliveryState
from notifier.errors import NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.outbox import entry_store
from notifier.webhooks import delivery_store, webhook_event
from notifier.webhooks.endpoints import get_endpoint, record_audit
from notifier.webhooks.webhook_handler import build_delivery_row

MAX_ATTEMPTS_SHOWN = 200  # the newest attempts of one delivery
MAX_REPLAYED = 1000  # deliveries that one request replays
_delivery_table, _attempt_table = get_columns(WebhookDelivery), get_columns(WebhookAttempt)
_event_table = get_columns(WebhookEvent)


class EndpointDisabledError(NotifierError):
    """The endpoint is disabled: enable it first."""


@dataclass(frozen=True, kw_only=True)
class ReplayResult:
    """How many deliveries were replayed."""

    count: int
    more: bool  # others are left for another request


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
    connection: AsyncConnection,
    service_id: UUID,
    endpoint_id: UUID,
    *,
    state: DeliveryState | None,
    before: UUID | None,
    limit: int,
) -> list[DeliveryView]:
    """List the deliveries of an endpoint, newest first. Raises `NotFoundError`."""
    await get_endpoint(connection, service_id, endpoint_id)
    statement = select(WebhookDelivery).where(_delivery_table.endpoint_id == endpoint_id)
    if state is not None:
        statement = statement.where(_delivery_table.state == state)
    if before is not None:
        statement = statement.where(_delivery_table.id < before)
    rows = (await connection.execute(statement.order_by(_delivery_table.id.desc()).limit(limit))).mappings().all()
    names = DeliveryView.__dataclass_fields__
    return [DeliveryView(**{name: row[name] for name in names}) for row in await _add_progress(connection, rows)]


async def get_delivery(connection: AsyncConnection, service_id: UUID, endpoint_id: UUID, id_: UUID) -> dict[str, Any]:
    """Get a delivery with its newest attempts, oldest first. Raises `NotFoundError`."""
    await get_endpoint(connection, service_id, endpoint_id)
    (delivery,) = await _add_progress(connection, [await _get_row(connection, endpoint_id, id_)])
    attempts = select(WebhookAttempt).where(_attempt_table.delivery_id == id_).order_by(_attempt_table.id.desc())
    newest = (await connection.execute(attempts.limit(MAX_ATTEMPTS_SHOWN))).mappings().all()
    return delivery | {"attempts": [dict(row) for row in reversed(newest)]}


async def _get_row(connection: AsyncConnection, endpoint_id: UUID, id_: UUID) -> RowMapping:
    statement = select(WebhookDelivery).where(_delivery_table.endpoint_id == endpoint_id, _delivery_table.id == id_)
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such delivery")
    return row


async def _add_progress(connection: AsyncConnection, rows: Sequence[RowMapping]) -> list[dict[str, Any]]:
    """Add to deliveries of one endpoint how many attempts they had, and when the next one is due."""
    ids = [row["id"] for row in rows]
    count = (
        select(_attempt_table.delivery_id, func.count().label("tries"))
        .where(_attempt_table.delivery_id.in_(ids))
        .group_by(_attempt_table.delivery_id)
    )
    tries = {row.delivery_id: int(row.tries) for row in await connection.execute(count)}
    pending = [row["id"] for row in rows if row["state"] == DeliveryState.PENDING]
    due = await entry_store.get_due_times(connection, rows[0]["service_id"], pending) if pending else {}
    return [dict(row) | {"tries": tries.get(row["id"], 0), "next_attempt_at": due.get(row["id"])} for row in rows]


async def replay_delivery(
    connection: AsyncConnection, service_id: UUID, endpoint_id: UUID, id_: UUID, *, actor: Actor
) -> dict[str, Any]:
    """Send an event again as a new delivery, with the same id and the same bytes. Raises `EndpointDisabledError`."""
    endpoint = await _get_enabled_endpoint(connection, service_id, endpoint_id)
    new_ids = await _insert_again(connection, [await _get_row(connection, endpoint_id, id_)], actor.at)
    if not new_ids:
        raise NotFoundError("there is no such delivery")
    (new_id,) = new_ids
    await record_audit(connection, AuditAction.WEBHOOK_REPLAYED, endpoint, actor, after={"of": id_})
    return await get_delivery(connection, service_id, endpoint_id, new_id)


async def replay_failed_deliveries(
    connection: AsyncConnection, service_id: UUID, endpoint_id: UUID, since: datetime, *, actor: Actor
) -> ReplayResult:
    """Replay the failed deliveries created since then that were not replayed yet, oldest first."""
    endpoint = await _get_enabled_endpoint(connection, service_id, endpoint_id)
    statement = (
        select(WebhookDelivery)
        .where(_delivery_table.endpoint_id == endpoint_id, _delivery_table.state == DeliveryState.FAILED)
        .where(_delivery_table.created_at >= since, ~_is_replayed())
        .order_by(_delivery_table.id)
        .limit(MAX_REPLAYED + 1)
    )
    failed = (await connection.execute(statement)).mappings().all()
    replayed = await _insert_again(connection, failed[:MAX_REPLAYED], actor.at)
    after = {"since": since, "count": len(replayed)}
    await record_audit(connection, AuditAction.WEBHOOK_REPLAYED, endpoint, actor, after=after)
    return ReplayResult(count=len(replayed), more=len(failed) > MAX_REPLAYED)


def _is_replayed() -> Any:
    """The condition that the same event has a later delivery to the same endpoint."""
    later = WebhookDelivery.__table__.alias("later")  # type: ignore[attr-defined]
    return (
        select(later.c.id)
        .where(later.c.event_id == _delivery_table.event_id, later.c.endpoint_id == _delivery_table.endpoint_id)
        .where(later.c.id > _delivery_table.id)
        .exists()
    )


async def _insert_again(connection: AsyncConnection, rows: Sequence[RowMapping], now: datetime) -> list[UUID]:
    """Write them as new deliveries, without those whose event is purged at this moment."""
    names = ("event_id", "endpoint_id", "service_id", "type", "body")
    ids = {row["event_id"] for row in rows}
    locked = select(_event_table.id).where(_event_table.id.in_(ids)).order_by(_event_table.id)
    kept = set((await connection.execute(locked.with_for_update(read=True, key_share=True))).scalars())
    new = [build_delivery_row({name: row[name] for name in names}, now) for row in rows if row["event_id"] in kept]
    await delivery_store.insert_deliveries(connection, new)
    return [row["id"] for row in new]


async def send_test_event(
    connection: AsyncConnection, service_id: UUID, endpoint_id: UUID, *, actor: Actor
) -> dict[str, Any]:
    """Send the event `webhook.test` to this endpoint only, through the queue that all events use."""
    endpoint = await _get_enabled_endpoint(connection, service_id, endpoint_id)
    fields = {"service_id": service_id, "type": webhook_event.TEST_EVENT_TYPE}
    event_id = generate_id()
    await connection.execute(insert(WebhookEvent).values(fields | {"id": event_id, "sequence": 0, "at": actor.at}))
    fields |= {"event_id": event_id, "endpoint_id": endpoint_id}
    row = build_delivery_row(fields | {"body": webhook_event.build_test_body(endpoint_id, actor.at)}, actor.at)
    await delivery_store.insert_deliveries(connection, [row])
    await record_audit(connection, AuditAction.WEBHOOK_TESTED, endpoint, actor)
    return await get_delivery(connection, service_id, endpoint_id, row["id"])


async def _get_enabled_endpoint(connection: AsyncConnection, service_id: UUID, endpoint_id: UUID) -> WebhookEndpoint:
    endpoint = await get_endpoint(connection, service_id, endpoint_id)
    if endpoint.disabled_at is not None:
        raise EndpointDisabledError
    return endpoint
