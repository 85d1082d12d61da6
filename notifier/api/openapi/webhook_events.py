"""The bodies of webhook requests, for the OpenAPI document only.

`notifier/webhooks/webhook_event.py` builds the real bodies; a test compares them with these.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from notifier.api.fields import describe_optional
from notifier.states import Reason, Role, Status

router = APIRouter()
_TYPE_PATTERN = "^notification\\.(" + "|".join(status.value for status in Status) + ")$"


class _EventModel(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LastTryOut(_EventModel):
    """The last attempt before the event."""

    number: int
    code: int | None
    enhanced_code: str | None
    reply: str


class ChangedOut(_EventModel):
    """The notification after the change."""

    id: UUID
    sequence: int = Field(description="Grows with each event of a notification: ignore lower numbers.")
    status: Status
    reason: Reason | None
    detail: str | None
    to: str
    role: Role
    parent_id: UUID | None
    batch_id: UUID | None
    template: str | None
    template_version: int | None
    tags: list[str]
    metadata: dict[str, str]
    message_id: str
    created_at: datetime
    attempt: LastTryOut = describe_optional("In `deferred`, `unknown`, `sent` and `failed`, if there was an attempt.")
    test: Literal[True] = describe_optional("Only for mail of a test key.")


class EventOut(_EventModel):
    """A change of a notification's status."""

    type: str = Field(pattern=_TYPE_PATTERN, examples=["notification.sent"], description="`notification.<status>`.")
    timestamp: datetime
    data: ChangedOut


class TestedOut(_EventModel):
    """The endpoint that is tested."""

    endpoint_id: UUID
    detail: str


class TestEventOut(_EventModel):
    """A test event: no notification has changed."""

    type: Literal["webhook.test"]
    timestamp: datetime
    data: TestedOut


@router.post(
    "notification.<status>",
    operation_id="notification_event",
    summary="Receive a change of a notification's status",
    tags=["events"],
)
async def receive_notification_event(body: EventOut) -> Literal["ok"]:  # noqa: ARG001 - never called: it documents what the caller's server does
    """Sent to your endpoints and signed according to Standard Webhooks. Any 2xx answer means that you received it."""
    return "ok"


@router.post("webhook.test", operation_id="test_event", summary="Receive a test event", tags=["events"])
async def receive_test_event(body: TestEventOut) -> Literal["ok"]:  # noqa: ARG001 - never called
    """Sent to the endpoint that you test, whatever events it has chosen, and signed in the same way."""
    return "ok"
