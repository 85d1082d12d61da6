"""What an endpoint is told: the JSON of one event, built once, so that every try sends the same octets."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from notifier.states import Status

EVENT_TYPE_PREFIX = "notification."
TEST_EVENT_TYPE = "webhook.test"
EVENT_TYPES = tuple(f"{EVENT_TYPE_PREFIX}{status}" for status in Status)
"""What an endpoint can ask for; without a list it gets them all. A test is sent whatever it asked for."""
_AFTER_A_TRY = frozenset({Status.DEFERRED, Status.UNKNOWN, Status.SENT, Status.FAILED})
_encode = msgspec.json.Encoder(uuid_format="canonical").encode


class EventDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An event, and the notification as it is when the endpoints are looked up."""

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
    attempt: dict[str, Any] | None  # the last try before the event


def build_notification_body(told: EventDetails) -> str:
    """The body about a notification: neither its variables nor its content are in it."""
    status = Status(told.type.removeprefix(EVENT_TYPE_PREFIX))
    data: dict[str, Any] = {
        "id": told.notification_id,
        "sequence": told.sequence,
        "status": status,
        "reason": told.reason,
        "detail": told.detail,
        "to": told.to,
        "role": told.role,
        "parent_id": told.parent_id,
        "batch_id": told.batch_id,
        "template": told.template,
        "template_version": told.template_version,
        "tags": told.tags or [],
        "metadata": told.metadata or {},
        "message_id": told.message_id,
        "created_at": _time(told.created_at),
    }
    if told.attempt is not None and status in _AFTER_A_TRY:
        data["attempt"] = told.attempt
    if told.kind == "test":
        data["test"] = True
    return _body(told.type, told.at, data)


def build_test_body(endpoint_id: UUID, at: datetime) -> str:
    """The body of a test, by which nothing has happened."""
    return _body(TEST_EVENT_TYPE, at, {"endpoint_id": endpoint_id, "detail": "a test: your endpoint can be reached"})


def _body(type_: str, at: datetime, data: dict[str, Any]) -> str:
    return _encode({"type": type_, "timestamp": _time(at), "data": data}).decode()


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
