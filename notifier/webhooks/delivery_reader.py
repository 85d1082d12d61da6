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

from notifier.db import dialect
from notifier.db.direct_connections import StatementConnection
from notifier.db.table_base import UtcDateTime
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

_event_table, _delivery_table, _endpoint_table = (
    get_columns(WebhookEvent),
    get_columns(WebhookDelivery),
    get_columns(WebhookEndpoint),
)
_notification_table, _attempt_table = get_columns(Notification), get_columns(Attempt)
_template_table, _version_table = get_columns(Template), get_columns(TemplateVersion)


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
        select(
            _event_table.id.label("event_id"),
            _event_table.service_id,
            _event_table.type,
            _event_table.at,
            _event_table.sequence,
        )
        .add_columns(_event_table.reason, _event_table.detail, _notification_table.id.label("notification_id"))
        .add_columns(_notification_table.recipient.label("to"), _notification_table.role, _notification_table.kind)
        .add_columns(_notification_table.parent_id, _notification_table.batch_id, _notification_table.message_id)
        .add_columns(_template_table.slug.label("template"), _version_table.number.label("template_version"))
        .add_columns(
            _notification_table.tags, _notification_table.meta.label("metadata"), _notification_table.created_at
        )
        .join(Notification, _notification_table.id == _event_table.notification_id)
        .outerjoin(TemplateVersion, _version_table.id == _notification_table.template_version_id)
        .outerjoin(Template, _template_table.id == _version_table.template_id)
        .where(_event_table.id.in_(ids))
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
        select(_attempt_table.id, _attempt_table.notification_id, _attempt_table.number)
        .add_columns(_attempt_table.code, _attempt_table.enhanced_code, _attempt_table.reply)
        .where(_attempt_table.notification_id.in_(notifications))
        .order_by(_attempt_table.id)
    )
    attempts: dict[UUID, list[Any]] = defaultdict(list)
    for row in await connection.execute(statement):
        attempts[row.notification_id].append(row)
    return attempts


async def load_subscriptions(
    connection: AsyncConnection, services: Collection[UUID]
) -> dict[UUID, list[EndpointSubscription]]:
    """Load the enabled endpoints of each service."""
    statement = select(_endpoint_table.service_id, _endpoint_table.id, _endpoint_table.events).where(
        _endpoint_table.service_id.in_(services), _endpoint_table.disabled_at.is_(None)
    )
    listeners: dict[UUID, list[EndpointSubscription]] = defaultdict(list)
    for row in await connection.execute(statement):
        listeners[row.service_id].append(EndpointSubscription(id=row.id, events=row.events))
    return listeners


@cache
def _build_delivery_query(*, sqlite: bool) -> Any:
    """The SELECT of deliveries by id, with their endpoints as they are now."""
    statement = text(f"""{dialect.build_rows_source({"id": "uuid"}, sqlite=sqlite)}
SELECT d.id, d.event_id, d.endpoint_id, d.body, d.state, e.url, e.secret, e.previous_secret, e.previous_until,
       e.disabled_because
FROM r JOIN webhook_delivery AS d ON {dialect.build_id_condition("d.id", sqlite=sqlite)}
LEFT JOIN webhook_endpoint AS e ON e.id = d.endpoint_id""")  # noqa: S608 - words of our own
    uuids = {"id": _delivery_table.id, "event_id": _delivery_table.event_id, "endpoint_id": _delivery_table.endpoint_id}
    types = {name: column.type for name, column in uuids.items()} | {"previous_until": UtcDateTime()}
    return statement.columns(**types) if sqlite else statement


async def load_deliveries(connection: StatementConnection, ids: Collection[UUID]) -> dict[UUID, PendingDelivery]:
    """Load deliveries by id."""
    sqlite = connection.dialect.name == "sqlite"
    values = {"rows": dialect.encode_rows([{"id": id_} for id_ in ids], sqlite=sqlite)}
    loaded = (await connection.execute(_build_delivery_query(sqlite=sqlite), values)).mappings()
    return {row["id"]: PendingDelivery(**{**row, "state": DeliveryState(row["state"])}) for row in loaded}
