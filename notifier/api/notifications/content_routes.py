"""`/v1/notifications/{id}/content` and `/explain`: the mail itself, and why it waits."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from notifier.api.authentication import authenticate_service, parse_id
from notifier.api.dependencies import Dependencies
from notifier.api.notifications import models
from notifier.api.request_audit import AuditDependency
from notifier.auth.key_scope import KeyScope
from notifier.lookup import wait_explanation
from notifier.lookup.content_preview import ContentView
from notifier.lookup.wait_explanation import Because
from notifier.states import WAITING_STATUSES

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])


class FileOut(BaseModel):
    """A file that is attached to the mail."""

    filename: str
    content_type: str
    content_id: str | None
    size: int
    sha256: str


class ContentOut(BaseModel):
    """A mail, part by part."""

    subject: str
    html: str | None = Field(description="Null for a mail that has a text part only.")
    text: str
    attachments: list[FileOut]
    size: int = Field(description="Bytes of the whole mail.")
    sha256: str = Field(description="Of the whole mail, in hexadecimal digits.")
    identical: bool | None = Field(
        description="True if a relay got exactly these bytes; null before the first attempt."
    )


class CauseOut(BaseModel):
    """One reason why it waits."""

    code: Because
    detail: str
    until: datetime | None = Field(description="Null: not known, or it does not end by itself.")


class ExplanationOut(BaseModel):
    """Why it is not sent yet."""

    id: UUID
    status: models.ShownStatus
    waiting: bool
    next_attempt_at: datetime | None = Field(
        description="The earliest time of the next attempt; null during an attempt, while it is held, and at the end."
    )
    expires_at: datetime
    because: list[CauseOut] = Field(description="Every reason; empty if it is due and first in the queue.")


@router.get(
    "/{notification_id}/explain",
    response_model=ExplanationOut,
    operation_id="explain_notification",
    summary="Explain why a notification waits",
)
async def explain_notification(request: Request, notification_id: str, doors: Dependencies) -> dict[str, Any]:
    """Why it is not sent yet, and when it is tried next."""
    caller = await authenticate_service(request, doors, KeyScope.READ)
    now, id_ = doors.clock.now(), parse_id(notification_id)
    async with doors.database.read() as connection:
        explanation = await wait_explanation.explain_notification(
            connection, caller.service_id, id_, doors.recipient_policy, now
        )
    view = explanation.view
    return {
        "id": view.id,
        "status": models.get_shown_status(view.status, view.send_at, now),
        "waiting": view.status in WAITING_STATUSES and view.entry_state is not None,
        "next_attempt_at": explanation.next_attempt_at,
        "expires_at": view.expires_at,
        "because": [vars(cause) for cause in explanation.causes],
    }


@router.get(
    "/{notification_id}/content",
    response_model=ContentOut,
    operation_id="get_notification_content",
    summary="Get the mail of a notification",
    responses={200: {"content": {"message/rfc822": {}}, "description": "The mail; with `format=eml` as it is sent."}},
)
async def get_notification_content(
    request: Request,
    notification_id: str,
    doors: Dependencies,
    audited: AuditDependency,
    format_: Annotated[Literal["json", "eml"], Query(alias="format")] = "json",
) -> Any:
    """The mail itself, as it was sent or will be. Who views it is recorded. 404 if it is out of reach of your key."""
    caller = await authenticate_service(request, doors, KeyScope.CONTENT)
    view = await doors.previewer.view_content(caller, parse_id(notification_id), actor=audited.get_actor(caller))
    if format_ == "eml":
        return Response(view.source, media_type="message/rfc822")
    return build_content_reply(view)


def build_content_reply(view: ContentView) -> dict[str, Any]:
    """The mail as the reply's fields."""
    return {name: value for name, value in vars(view).items() if name != "source"} | {"size": len(view.source)}
