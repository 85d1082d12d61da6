"""What webhooks tell, for the documentation: one event for each change of a notification's status."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from notifier.states import Reason, Role, Status

router = APIRouter()
_TYPE_PATTERN = "^notification\\.(" + "|".join(status.value for status in Status) + ")$"


class ChangedOut(BaseModel):
    """A notification as it stood after the change."""

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


class EventOut(BaseModel):
    """A change of a notification's status."""

    type: str = Field(pattern=_TYPE_PATTERN, examples=["notification.sent"], description="`notification.<status>`.")
    timestamp: datetime
    data: ChangedOut


@router.post("notification.<status>", operation_id="notification_event", tags=["webhooks"])
async def changed(body: EventOut) -> Literal["ok"]:  # noqa: ARG001 - never called: it is what the caller's server does
    """Sent to your endpoints, signed as Standard Webhooks say; any 2xx answer is taken as received."""
    return "ok"
