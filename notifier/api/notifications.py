"""`/v1/notifications`: look at one and at what happened to it, list."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request

from notifier.api import reply
from notifier.api.doors import TheDoors
from notifier.api.request import authenticated, id_of
from notifier.auth.keys import Scope
from notifier.notification import find, timeline

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])


@router.get("/{notification_id}", response_model=reply.NotificationWithAttemptsOut, operation_id="get_notification")
async def get_one(request: Request, notification_id: str, doors: TheDoors) -> dict[str, Any]:
    """A notification with every try at delivering it."""
    caller = await authenticated(request, doors, Scope.READ)
    async with doors.database.read() as connection:
        view = await find.one(connection, caller.service_id, id_of(notification_id))
    return reply.show(view, doors.clock.now())


@router.get("/{notification_id}/events", response_model=reply.TimelineOut, operation_id="get_notification_events")
async def get_events(request: Request, notification_id: str, doors: TheDoors) -> dict[str, Any]:
    """What happened to a notification, oldest first: every try, and what people and callers did."""
    caller = await authenticated(request, doors, Scope.READ)
    async with doors.database.read() as connection:
        items = await timeline.of(connection, caller.service_id, id_of(notification_id))
    return {"events": [reply.show_item(item) for item in items]}


@router.get("", response_model=reply.PageOut, operation_id="list_notifications")
async def get_page(
    request: Request,
    doors: TheDoors,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[UUID | None, Query(description="The `next` of the page before.")] = None,
) -> dict[str, Any]:
    """The service's notifications, newest first."""
    caller = await authenticated(request, doors, Scope.READ)
    async with doors.database.read() as connection:
        views = await find.page(connection, caller.service_id, before=before, limit=limit + 1)
    now = doors.clock.now()
    more = len(views) > limit
    return {
        "notifications": [reply.show(view, now) for view in views[:limit]],
        "next": views[limit - 1].id if more else None,
    }
