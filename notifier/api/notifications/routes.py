"""`GET /v1/notifications` and its paths for one notification: get it, list its events, search."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from notifier import email_address
from notifier.api import pagination
from notifier.api.authentication import authenticate_service, parse_id
from notifier.api.dependencies import Dependencies
from notifier.api.fields import AwareTime
from notifier.api.notifications import models
from notifier.auth.key_scope import KeyScope
from notifier.lookup import notification_search, notification_view, timeline
from notifier.lookup.notification_search import NotificationFilter, PageRequest
from notifier.states import Status

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])


class NotificationQuery(pagination.PageQuery):
    """Which notifications are listed."""

    status: models.ShownStatus | None = None
    to: Annotated[
        str | None, Query(max_length=320, pattern=pagination.NO_NUL, description="The recipient's address.")
    ] = None
    template: Annotated[str | None, Query(max_length=64, pattern=pagination.NO_NUL)] = None
    tag: Annotated[str | None, Query(max_length=64, pattern=pagination.NO_NUL)] = None
    batch_id: UUID | None = None
    created_after: Annotated[AwareTime | None, Query(description="At this time or later.")] = None
    created_before: Annotated[AwareTime | None, Query(description="Before this time.")] = None
    copies: Annotated[bool, Query(description="List copies as well.")] = False

    def filter(self) -> NotificationFilter:
        """Build the domain's filter."""
        is_queued = self.status in (models.SCHEDULED, Status.QUEUED)
        return NotificationFilter(
            status=Status.QUEUED if is_queued else Status(self.status) if self.status else None,
            scheduled=self.status == models.SCHEDULED if is_queued else None,
            to=_normalise_recipient(self.to),
            **self.model_dump(include={"template", "tag", "batch_id", "created_after", "created_before", "copies"}),
        )


def _normalise_recipient(to: str | None) -> str | None:
    """Normalise an address as it is stored; a text that is no address is searched unchanged, and not found."""
    try:
        return email_address.normalise_address(to) if to else None
    except email_address.InvalidAddressError:
        return to


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
