"""`/v1/notifications`: submit one, look at one and at what happened to it, list."""

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import JSONResponse

from notifier import strict_json
from notifier.api import schema
from notifier.api.doors import TheDoors
from notifier.api.problems import BadRequestError
from notifier.api.request import authenticated, id_of, json_body
from notifier.auth.keys import Scope
from notifier.notification import find, timeline
from notifier.notification.write import Idempotency
from notifier.telemetry import metrics

_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])


@router.post(
    "",
    status_code=202,
    response_model=schema.SubmittedOut,
    operation_id="submit_notification",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema.NotificationIn.model_json_schema(by_alias=True)}},
        }
    },
)
async def submit(request: Request, doors: TheDoors) -> Response:
    """Accept a notification: when this answers 202, it is committed and will not be lost."""
    with metrics.SUBMIT_SECONDS.time():
        caller = await authenticated(request, doors, Scope.SEND)
        key = _idempotency_key(request)
        body = await json_body(request)
        wanted, faults = schema.parse(body)
        idempotency = Idempotency(key=key, request_hash=strict_json.canonical_hash(body)) if key is not None else None
        submitted = await doors.submitter.submit(caller, wanted, idempotency, faults=faults)
    status = schema.shown_status(submitted.status, submitted.send_at, doors.clock.now())
    if not submitted.replayed:
        metrics.SUBMITTED.labels(submitted.status.value).inc()
    headers = {"Location": f"/v1/notifications/{submitted.id}"}
    if submitted.replayed:
        headers["Idempotent-Replayed"] = "true"
    out = {"id": str(submitted.id), "status": status, "created_at": _json_time(submitted.created_at)}
    return JSONResponse(out, 202, headers)


@router.get("/{notification_id}", response_model=schema.NotificationWithAttemptsOut, operation_id="get_notification")
async def get_one(request: Request, notification_id: str, doors: TheDoors) -> dict[str, Any]:
    """A notification with every try at delivering it."""
    caller = await authenticated(request, doors, Scope.READ)
    async with doors.database.read() as connection:
        view = await find.one(connection, caller.service_id, id_of(notification_id))
    return schema.show(view, doors.clock.now())


@router.get("/{notification_id}/events", response_model=schema.TimelineOut, operation_id="get_notification_events")
async def get_events(request: Request, notification_id: str, doors: TheDoors) -> dict[str, Any]:
    """What happened to a notification, oldest first: every try, and what people and callers did."""
    caller = await authenticated(request, doors, Scope.READ)
    async with doors.database.read() as connection:
        items = await timeline.of(connection, caller.service_id, id_of(notification_id))
    return {"events": [schema.show_item(item) for item in items]}


@router.get("", response_model=schema.PageOut, operation_id="list_notifications")
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
        "notifications": [schema.show(view, now) for view in views[:limit]],
        "next": views[limit - 1].id if more else None,
    }


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise BadRequestError(400, "invalid_idempotency_key", "Idempotency-Key has 1 to 255 printable ASCII characters")
    return key


def _json_time(value: Any) -> str:
    return str(value.isoformat().replace("+00:00", "Z"))
