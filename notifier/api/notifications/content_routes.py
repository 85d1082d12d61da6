"""`/v1/notifications/{id}/content` and `/explain`: the mail itself, and why it waits."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from notifier.api.authentication import authenticate_service, parse_id
from notifier.api.dependencies import Dependencies
from notifier.api.notifications import models
from notifier.api.request_audit import AuditDependency
from notifier.auth.key_scope import KeyScope
from notifier.lookup import wait_explanation
from notifier.lookup.content_preview import ContentView
from notifier.states import WAITING_STATUSES

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])


@router.get(
    "/{notification_id}/explain",
    response_model=models.ExplanationOut,
    operation_id="explain_notification",
    summary="Explain why a notification waits",
)
async def explain_notification(request: Request, notification_id: str, doors: Dependencies) -> dict[str, Any]:
    """Why it is not sent yet, and when it is tried next."""
    caller = await authenticate_service(request, doors, KeyScope.READ)
    now, id_ = doors.clock.now(), parse_id(notification_id)
    async with doors.database.read() as connection:
        found = await wait_explanation.explain_notification(
            connection, caller.service_id, id_, doors.recipient_policy, now
        )
    view = found.view
    return {
        "id": view.id,
        "status": models.get_shown_status(view.status, view.send_at, now),
        "waiting": view.status in WAITING_STATUSES and view.entry_state is not None,
        "next_attempt_at": found.next_attempt_at,
        "expires_at": view.expires_at,
        "because": [vars(cause) for cause in found.causes],
    }


@router.get(
    "/{notification_id}/content",
    response_model=models.ContentOut,
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
    view = await doors.previewer.view(caller, parse_id(notification_id), actor=audited.get_actor(caller))
    if format_ == "eml":
        return Response(view.source, media_type="message/rfc822")
    return build_content_reply(view)


def build_content_reply(view: ContentView) -> dict[str, Any]:
    """The mail as the reply's fields."""
    return {name: value for name, value in vars(view).items() if name != "source"} | {"size": len(view.source)}
