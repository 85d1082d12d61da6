"""Webhook events: load one with its notification, and build its JSON body.

The body is built once and stored, so that every attempt sends the same bytes.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Attempt, Notification, Template, TemplateVersion, WebhookEvent, get_columns
from notifier.states import Status

EVENT_TYPE_PREFIX = "notification."
TEST_EVENT_TYPE = "webhook.test"
EVENT_TYPES = tuple(f"{EVENT_TYPE_PREFIX}{status}" for status in Status)
"""The types that an endpoint can subscribe to. Every endpoint gets test events."""
_STATUSES_WITH_ATTEMPT = frozenset({Status.DEFERRED, Status.UNKNOWN, Status.SENT, Status.FAILED})
_encode = msgspec.json.Encoder(uuid_format="canonical").encode
_event, _notification, _attempt = get_columns(WebhookEvent), get_columns(Notification), get_columns(Attempt)
_template, _version = get_columns(Template), get_columns(TemplateVersion)


class EventDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An event, with its notification as it is when the body is built."""

    event_id: UUID
    service_id: UUID
    type: str
    at: datetime
    sequence: int
    reason: str | None
    detail: str | None
    notification_id: UUID
    to: str
    role: str
    kind: str
    parent_id: UUID | None
    batch_id: UUID | None
    template: str | None
    template_version: int | None
    tags: list[str] | None
    metadata: dict[str, str] | None
    message_id: str
    created_at: datetime
    attempt: dict[str, Any] | None  # the last one before the event


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
    return {row["event_id"]: _build_event(dict(row), attempts[row["notification_id"]]) for row in rows}


def _build_event(row: dict[str, Any], attempts: list[Any]) -> EventDetails:
    earlier = [attempt for attempt in attempts if attempt.id < row["event_id"]]  # ids are in the order of time
    names = ("number", "code", "enhanced_code", "reply")
    return EventDetails(**row, attempt={name: getattr(earlier[-1], name) for name in names} if earlier else None)


async def _load_attempts(connection: AsyncConnection, notifications: Collection[UUID]) -> defaultdict[UUID, list[Any]]:
    """The attempts of each notification, oldest first."""
    statement = (
        select(_attempt.id, _attempt.notification_id, _attempt.number)
        .add_columns(_attempt.code, _attempt.enhanced_code, _attempt.reply)
        .where(_attempt.notification_id.in_(notifications))
        .order_by(_attempt.id)
    )
    attempts: defaultdict[UUID, list[Any]] = defaultdict(list)
    for row in await connection.execute(statement):
        attempts[row.notification_id].append(row)
    return attempts


def build_notification_body(event: EventDetails) -> str:
    """Build the body of a status event. It has neither the variables nor the content of the notification."""
    status = Status(event.type.removeprefix(EVENT_TYPE_PREFIX))
    data: dict[str, Any] = {
        "id": event.notification_id,
        "sequence": event.sequence,
        "status": status,
        "reason": event.reason,
        "detail": event.detail,
        "to": event.to,
        "role": event.role,
        "parent_id": event.parent_id,
        "batch_id": event.batch_id,
        "template": event.template,
        "template_version": event.template_version,
        "tags": event.tags or [],
        "metadata": event.metadata or {},
        "message_id": event.message_id,
        "created_at": _format_time(event.created_at),
    }
    if event.attempt is not None and status in _STATUSES_WITH_ATTEMPT:
        data["attempt"] = event.attempt
    if event.kind == "test":
        data["test"] = True
    return _encode_body(event.type, event.at, data)


def build_test_body(endpoint_id: UUID, at: datetime) -> str:
    """Build the body of a test event."""
    data = {"endpoint_id": endpoint_id, "detail": "a test: your endpoint can be reached"}
    return _encode_body(TEST_EVENT_TYPE, at, data)


def _encode_body(type_: str, at: datetime, data: dict[str, Any]) -> str:
    return _encode({"type": type_, "timestamp": _format_time(at), "data": data}).decode()


def _format_time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
