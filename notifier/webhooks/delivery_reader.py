"""Loads what a claimed batch needs: events with their notifications, the endpoints of a service, and deliveries."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db import row_parameter
from notifier.db.column_types import UtcDateTime
from notifier.db.direct_connections import StatementConnection
from notifier.db.tables import (
    Attempt,
    Notification,
    Template,
    TemplateVersion,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
    get_columns,
)
from notifier.db.tables.webhook import DeliveryState
from notifier.webhooks.event_body import EventDetails

_event, _delivery, _endpoint = get_columns(WebhookEvent), get_columns(WebhookDelivery), get_columns(WebhookEndpoint)
_notification, _attempt = get_columns(Notification), get_columns(Attempt)
_template, _version = get_columns(Template), get_columns(TemplateVersion)


class EndpointSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """An enabled endpoint, and the types of events that it subscribes to."""

    id: UUID
    events: list[str]  # empty: all

    def wants(self, type_: str) -> bool:
        """True if the endpoint subscribes to this type."""
        return not self.events or type_ in self.events


class PendingDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery, with its endpoint as it is now."""

    id: UUID
    event_id: UUID
    endpoint_id: UUID
    body: str
    state: DeliveryState
    url: str | None  # None: the endpoint was deleted
    secret: str | None
    previous_secret: str | None
    previous_until: datetime | None
    disabled_because: str | None

    def secrets(self, now: datetime) -> list[str]:
        """The stored secrets that sign: the current one, then during a rotation the previous one."""
        previous = self.previous_secret if self.previous_until is not None and self.previous_until > now else None
        return [secret for secret in (self.secret, previous) if secret is not None]


async def load_events(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, EventDetails]:
    """Load the events whose notification still exists."""
    statement = (
        select(_event.id.label("event_id"), _event.service_id, _event.type, _event.at, _event.sequence)
        .add_columns(_event.reason, _event.detail, _notification.id.label("notification_id"))
        .add_columns(_notification.recipient.label("to"), _notification.role, _notification.kind)
        .add_columns(_notification.parent_id, _notification.batch_id, _notification.message_id)
        .add_columns(_template.slug.label("template"), _version.number.label("template_version"))
        .add_columns(_notification.tags, _notification.meta.label("metadata"), _notification.created_at)
        .join(Notification, _notification.id == _event.notification_id)
        .outerjoin(TemplateVersion, _version.id == _notification.template_version_id)
        .outerjoin(Template, _template.id == _version.template_id)
        .where(_event.id.in_(ids))
    )
    rows = (await connection.execute(statement)).mappings().all()
    attempts = await _load_attempts(connection, {row["notification_id"] for row in rows})
    return {row["event_id"]: _build_event(dict(row), attempts.get(row["notification_id"], [])) for row in rows}


def _build_event(row: dict[str, Any], attempts: list[Any]) -> EventDetails:
    earlier = [attempt for attempt in attempts if attempt.id < row["event_id"]]  # ids are in the order of time
    names = ("number", "code", "enhanced_code", "reply")
    return EventDetails(**row, attempt={name: getattr(earlier[-1], name) for name in names} if earlier else None)


async def _load_attempts(connection: AsyncConnection, notifications: Collection[UUID]) -> dict[UUID, list[Any]]:
    """Load the attempts of each notification, oldest first."""
    statement = (
        select(_attempt.id, _attempt.notification_id, _attempt.number)
        .add_columns(_attempt.code, _attempt.enhanced_code, _attempt.reply)
        .where(_attempt.notification_id.in_(notifications))
        .order_by(_attempt.id)
    )
    attempts: dict[UUID, list[Any]] = defaultdict(list)
    for row in await connection.execute(statement):
        attempts[row.notification_id].append(row)
    return attempts


async def load_subscriptions(
    connection: AsyncConnection, services: Collection[UUID]
) -> dict[UUID, list[EndpointSubscription]]:
    """Load the enabled endpoints of each service."""
    statement = select(_endpoint.service_id, _endpoint.id, _endpoint.events).where(
        _endpoint.service_id.in_(services), _endpoint.disabled_at.is_(None)
    )
    listeners: dict[UUID, list[EndpointSubscription]] = defaultdict(list)
    for row in await connection.execute(statement):
        listeners[row.service_id].append(EndpointSubscription(id=row.id, events=row.events))
    return listeners


@cache
def _build_delivery_query(*, sqlite: bool) -> Any:
    """The SELECT of deliveries by id, with their endpoints as they are now."""
    statement = text(f"""{row_parameter.build_rows_source({"id": "uuid"}, sqlite=sqlite)}
SELECT d.id, d.event_id, d.endpoint_id, d.body, d.state, e.url, e.secret, e.previous_secret, e.previous_until,
       e.disabled_because
FROM r JOIN webhook_delivery AS d ON {row_parameter.build_id_condition("d.id", sqlite=sqlite)}
LEFT JOIN webhook_endpoint AS e ON e.id = d.endpoint_id""")  # noqa: S608 - words of our own
    uuids = {"id": _delivery.id, "event_id": _delivery.event_id, "endpoint_id": _delivery.endpoint_id}
    types = {name: column.type for name, column in uuids.items()} | {"previous_until": UtcDateTime()}
    return statement.columns(**types) if sqlite else statement


async def load_deliveries(connection: StatementConnection, ids: Collection[UUID]) -> dict[UUID, PendingDelivery]:
    """Load deliveries by id."""
    sqlite = connection.dialect.name == "sqlite"
    values = {"rows": row_parameter.encode_rows([{"id": id_} for id_ in ids], sqlite=sqlite)}
    loaded = (await connection.execute(_build_delivery_query(sqlite=sqlite), values)).mappings()
    return {row["id"]: PendingDelivery(**{**row, "state": DeliveryState(row["state"])}) for row in loaded}
