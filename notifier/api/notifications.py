"""`GET /v1/notifications` and its paths for one notification: get it, list its events, search."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from notifier import address
from notifier.api import paging, reply
from notifier.api.doors import TheDoors
from notifier.api.request import authenticated, id_of
from notifier.api.value import AwareTime
from notifier.auth.scope import Scope
from notifier.notification import find, search, timeline
from notifier.notification.search import Filter, Slice
from notifier.states import Status

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])


class Wanted(paging.PageQuery):
    """Which notifications are listed."""

    status: reply.ShownStatus | None = None
    to: Annotated[str | None, Query(max_length=320, pattern=paging.NO_NUL, description="The recipient's address.")] = (
        None
    )
    template: Annotated[str | None, Query(max_length=64, pattern=paging.NO_NUL)] = None
    tag: Annotated[str | None, Query(max_length=64, pattern=paging.NO_NUL)] = None
    batch_id: UUID | None = None
    created_after: Annotated[AwareTime | None, Query(description="At this time or later.")] = None
    created_before: Annotated[AwareTime | None, Query(description="Before this time.")] = None
    copies: Annotated[bool, Query(description="List copies as well.")] = False

    def filter(self) -> Filter:
        """Build the domain's filter."""
        is_queued = self.status in (reply.SCHEDULED, Status.QUEUED)
        return Filter(
            status=Status.QUEUED if is_queued else Status(self.status) if self.status else None,
            scheduled=self.status == reply.SCHEDULED if is_queued else None,
            to=_normalised(self.to),
            **self.model_dump(include={"template", "tag", "batch_id", "created_after", "created_before", "copies"}),
        )


def _normalised(to: str | None) -> str | None:
    """Normalise an address as it is stored; a text that is no address is searched unchanged, and not found."""
    try:
        return address.normalised(to) if to else None
    except address.InvalidAddressError:
        return to


@router.get(
    "/{notification_id:notification}",
    response_model=reply.NotificationWithAttemptsOut,
    operation_id="get_notification",
    summary="Get a notification",
)
async def get_one(request: Request, notification_id: str, doors: TheDoors) -> dict[str, Any]:
    """Get a notification with every attempt to deliver it."""
    caller = await authenticated(request, doors, Scope.READ)
    async with doors.database.read() as connection:
        view = await find.one(connection, caller.service_id, id_of(notification_id))
    return reply.show(view, doors.clock.now())


@router.get(
    "/{notification_id}/events",
    response_model=reply.TimelineOut,
    operation_id="get_notification_events",
    summary="List the events of a notification",
)
async def get_events(request: Request, notification_id: str, doors: TheDoors) -> dict[str, Any]:
    """List the events of a notification, oldest first: every attempt, and every change by a person or a caller."""
    caller = await authenticated(request, doors, Scope.READ)
    async with doors.database.read() as connection:
        items = await timeline.of(connection, caller.service_id, id_of(notification_id))
    return {"events": [reply.show_item(item) for item in items]}


@router.get("", response_model=reply.PageOut, operation_id="list_notifications", summary="List notifications")
async def get_page(
    request: Request,
    response: Response,
    doors: TheDoors,
    query: Annotated[Wanted, Query()],
) -> dict[str, Any]:
    """List the service's notifications, newest first; every filter must match."""
    caller = await authenticated(request, doors, Scope.READ)
    now = doors.clock.now()
    async with doors.database.read() as connection:
        part = Slice(limit=query.limit, before=query.before)
        page = await search.page(connection, caller.service_id, query.filter(), part, now=now)
    if page.next is not None:
        paging.link(request, response, page.next)
    return {"notifications": [reply.show(view, now) for view in page.views], "next": page.next}
