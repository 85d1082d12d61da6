"""What webhooks tell, for the documentation: one event for each change of a notification's status, and the test.

`notifier/webhooks/event_body.py` makes the bodies; a test compares the two.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from notifier.states import Reason, Role, Status

router = APIRouter()
_NO_EXTRA = ConfigDict(extra="forbid")
_TYPE_PATTERN = "^notification\\.(" + "|".join(status.value for status in Status) + ")$"


def _optional_member(description: str) -> Any:
    """A field that is left out where there is nothing to say, and is never null."""
    return Field(None, description=description)


class LastTryOut(BaseModel):
    """The last try before the event."""

    model_config = _NO_EXTRA

    number: int
    code: int | None
    enhanced_code: str | None
    reply: str


class ChangedOut(BaseModel):
    """A notification as it stood after the change."""

    model_config = _NO_EXTRA

    id: UUID
    sequence: int = Field(description="Grows with each event of one notification: ignore one lower than the last seen.")
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
    attempt: LastTryOut = _optional_member("Of `deferred`, `unknown`, `sent` and `failed`, if there was a try.")
    test: Literal[True] = _optional_member("Only there for mail of a test key.")


class EventOut(BaseModel):
    """A change of a notification's status."""

    model_config = _NO_EXTRA

    type: str = Field(pattern=_TYPE_PATTERN, examples=["notification.sent"], description="`notification.<status>`.")
    timestamp: datetime
    data: ChangedOut


class TestedOut(BaseModel):
    """Which endpoint is tested."""

    model_config = _NO_EXTRA

    endpoint_id: UUID
    detail: str


class TestEventOut(BaseModel):
    """A test, by which nothing has happened."""

    model_config = _NO_EXTRA

    type: Literal["webhook.test"]
    timestamp: datetime
    data: TestedOut


@router.post(
    "notification.<status>",
    operation_id="notification_event",
    summary="Receive a change of a notification's status",
    tags=["events"],
)
async def receive_notification_event(body: EventOut) -> Literal["ok"]:  # noqa: ARG001 - never called: it is what the caller's server does
    """Sent to your endpoints, signed as Standard Webhooks say; any 2xx answer is taken as received."""
    return "ok"


@router.post("webhook.test", operation_id="test_event", summary="Receive a test event", tags=["events"])
async def receive_test_event(body: TestEventOut) -> Literal["ok"]:  # noqa: ARG001 - never called
    """Sent to the endpoint that you test, whatever it asked for, and signed in the same way."""
    return "ok"
