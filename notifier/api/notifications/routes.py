"""`GET /v1/notifications` and its paths for one notification: get it, list its events, search."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from notifier.api import pagination
from notifier.api.authentication import authenticate_service, parse_id
from notifier.api.dependencies import Dependencies
from notifier.api.notifications import models
from notifier.api.notifications.models import NotificationQuery
from notifier.auth.key_scope import KeyScope
from notifier.lookup import notification_search, notification_view, timeline
from notifier.lookup.notification_search import PageRequest

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
            connection, caller.service_id, query.filter(), part, now=now
        )
    if page.next is not None:
        pagination.add_next_link(request, response, page.next)
    return {"notifications": [models.build_notification_reply(view, now) for view in page.views], "next": page.next}
