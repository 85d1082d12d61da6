"""The JSON body of a webhook event. It is built once and stored, so that every attempt sends the same bytes."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from notifier.states import Status

EVENT_TYPE_PREFIX = "notification."
TEST_EVENT_TYPE = "webhook.test"
EVENT_TYPES = tuple(f"{EVENT_TYPE_PREFIX}{status}" for status in Status)
"""The types that an endpoint can subscribe to. A test event is sent whatever it subscribed to."""
_STATUSES_WITH_ATTEMPT = frozenset({Status.DEFERRED, Status.UNKNOWN, Status.SENT, Status.FAILED})
_encode = msgspec.json.Encoder(uuid_format="canonical").encode


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
    return _encode_body(
        TEST_EVENT_TYPE, at, {"endpoint_id": endpoint_id, "detail": "a test: your endpoint can be reached"}
    )


def _encode_body(type_: str, at: datetime, data: dict[str, Any]) -> str:
    return _encode({"type": type_, "timestamp": _format_time(at), "data": data}).decode()


def _format_time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
