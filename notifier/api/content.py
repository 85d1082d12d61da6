"""`/v1/notifications/{id}/content` and `/explain`: the mail itself, and why it waits."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from notifier.api import reply
from notifier.api.audited import Audited
from notifier.api.doors import TheDoors
from notifier.api.request import authenticated, id_of
from notifier.auth.scope import Scope
from notifier.notification import explain
from notifier.notification.explain import Because
from notifier.notification.preview import ContentView
from notifier.states import WAITING

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
    status: reply.ShownStatus
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
async def get_explanation(request: Request, notification_id: str, doors: TheDoors) -> dict[str, Any]:
    """Why it is not sent yet, and when it is tried next."""
    caller = await authenticated(request, doors, Scope.READ)
    now, id_ = doors.clock.now(), id_of(notification_id)
    async with doors.database.read() as connection:
        found = await explain.explain(connection, caller.service_id, id_, doors.policy, now)
    view = found.view
    return {
        "id": view.id,
        "status": reply.shown_status(view.status, view.send_at, now),
        "waiting": view.status in WAITING and view.entry_state is not None,
        "next_attempt_at": found.next_attempt_at,
        "expires_at": view.expires_at,
        "because": [vars(cause) for cause in found.causes],
    }


@router.get(
    "/{notification_id}/content",
    response_model=ContentOut,
    operation_id="get_notification_content",
    summary="Get the mail of a notification",
    responses={200: {"content": {"message/rfc822": {}}, "description": "The mail; with `format=eml` as it is sent."}},
)
async def get_content(
    request: Request,
    notification_id: str,
    doors: TheDoors,
    audited: Audited,
    format_: Annotated[Literal["json", "eml"], Query(alias="format")] = "json",
) -> Any:
    """The mail itself, as it was sent or will be. Who views it is recorded. 404 if it is out of reach of your key."""
    caller = await authenticated(request, doors, Scope.CONTENT)
    view = await doors.previewer.view(caller, id_of(notification_id), actor=audited.doer(caller))
    if format_ == "eml":
        return Response(view.source, media_type="message/rfc822")
    return show(view)


def show(view: ContentView) -> dict[str, Any]:
    """The mail as the reply's fields."""
    return {name: value for name, value in vars(view).items() if name != "source"} | {"size": len(view.source)}
