"""`/v1/notifications`: look at one and at what happened to it, list."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

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


class NotificationQuery(BaseModel):
    """Which page of which notifications."""

    model_config = ConfigDict(extra="forbid")

    limit: pagination.PageLimit = 50
    before: pagination.PageCursor = None
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
        """The same in the domain's words."""
        is_queued = self.status in (models.SCHEDULED, Status.QUEUED)
        return NotificationFilter(
            status=Status.QUEUED if is_queued else Status(self.status) if self.status else None,
            scheduled=self.status == models.SCHEDULED if is_queued else None,
            to=_normalise_recipient(self.to),
            **self.model_dump(include={"template", "tag", "batch_id", "created_after", "created_before", "copies"}),
        )


def _normalise_recipient(to: str | None) -> str | None:
    """The address as it is stored; what is no address is looked for as it is, and not found."""
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
    """A notification with every try at delivering it."""
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
    """What happened to a notification, oldest first: every try, and what people and callers did."""
    caller = await authenticate_service(request, doors, KeyScope.READ)
    async with doors.database.read() as connection:
        items = await timeline.get_timeline(connection, caller.service_id, parse_id(notification_id))
    return {"events": [models.build_event_reply(item) for item in items]}


@router.get("", response_model=models.PageOut, operation_id="list_notifications", summary="List notifications")
async def list_notifications(
    request: Request,
    response: Response,
    doors: Dependencies,
    wanted: Annotated[NotificationQuery, Query()],
) -> dict[str, Any]:
    """The service's notifications, newest first; every filter that is given must match."""
    caller = await authenticate_service(request, doors, KeyScope.READ)
    now = doors.clock.now()
    async with doors.database.read() as connection:
        which = PageRequest(limit=wanted.limit, before=wanted.before)
        page = await notification_search.search_notifications(
            connection, caller.service_id, wanted.filter(), which, now=now
        )
    if page.next is not None:
        pagination.add_next_link(request, response, page.next)
    return {"notifications": [models.build_notification_reply(view, now) for view in page.views], "next": page.next}
