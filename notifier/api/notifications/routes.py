"""`GET /v1/notifications` and its paths for one notification: its status, events, mail, and why it waits."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from notifier.api import pagination
from notifier.api.authentication import authenticate_service, parse_id
from notifier.api.dependencies import Dependencies
from notifier.api.notifications import models
from notifier.api.notifications.models import NotificationQuery
from notifier.api.request_audit import AuditDependency
from notifier.auth.key_scope import KeyScope
from notifier.lookup import notification_search, notification_view, timeline, wait_explanation
from notifier.lookup.notification_search import PageRequest
from notifier.states import WAITING_STATUSES

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])


@router.get(
    "/{notification_id:notification}",
    response_model=models.NotificationWithAttemptsOut,
    operation_id="get_notification",
    summary="Get a notification",
)
async def get_notification(request: Request, notification_id: str, doors: Dependencies) -> dict[str, Any]:
    """Get a notification with every attempt to deliver it."""
    caller = await authenticate_service(request, doors, KeyScope.READ)
    async with doors.database.read() as connection:
        view = await notification_view.get_notification(connection, caller.service_id, parse_id(notification_id))
    return models.build_notification_reply(view, doors.clock.now())


@router.get(
    "/{notification_id}/events",
    response_model=models.TimelineOut,
    operation_id="get_notification_events",
    summary="List the events of a notification",
)
async def get_notification_events(request: Request, notification_id: str, doors: Dependencies) -> dict[str, Any]:
    """List the events of a notification, oldest first: every attempt, and every change by a person or a caller."""
    caller = await authenticate_service(request, doors, KeyScope.READ)
    async with doors.database.read() as connection:
        items = await timeline.get_timeline(connection, caller.service_id, parse_id(notification_id))
    return {"events": [models.build_event_reply(item) for item in items]}


@router.get("", response_model=models.PageOut, operation_id="list_notifications", summary="List notifications")
async def list_notifications(
    request: Request,
    response: Response,
    doors: Dependencies,
    query: Annotated[NotificationQuery, Query()],
) -> dict[str, Any]:
    """List the service's notifications, newest first; every filter must match."""
    caller = await authenticate_service(request, doors, KeyScope.READ)
    now = doors.clock.now()
    async with doors.database.read() as connection:
        part = PageRequest(limit=query.limit, before=query.before)
        page = await notification_search.search_notifications(
            connection, caller.service_id, query.build_filter(), part, now=now
        )
    if page.next is not None:
        pagination.add_next_link(request, response, page.next)
    return {"notifications": [models.build_notification_reply(view, now) for view in page.views], "next": page.next}


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
    return models.build_content_reply(view)
