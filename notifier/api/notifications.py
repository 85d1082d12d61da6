"""`/v1/notifications`: submit one, look at one, list."""

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import JSONResponse

from notifier import strict_json
from notifier.api import schema
from notifier.api.doors import Doors, doors
from notifier.api.problems import BadRequestError
from notifier.auth.keys import Caller, Scope
from notifier.errors import Fault, InvalidRequestError, NotFoundError
from notifier.notification import find
from notifier.notification.write import Idempotency
from notifier.telemetry import metrics

LARGEST_NOTIFICATION = 512 * 1024
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])
TheDoors = Annotated[Doors, Depends(doors)]


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
        body = strict_json.loads(await _json_body(request))
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
        view = await find.one(connection, caller.service_id, _id_of(notification_id))
    return schema.show(view, doors.clock.now())


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


async def authenticated(request: Request, doors: Doors, scope: Scope) -> Caller:
    """The caller, who has the scope."""
    caller = await doors.authenticator.caller_of(request.headers.get("authorization"))
    caller.require(scope)
    return caller


def _id_of(text: str) -> UUID:
    """The id in a path; anything else names nothing."""
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFoundError("there is no such notification") from error


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise BadRequestError(400, "invalid_idempotency_key", "Idempotency-Key has 1 to 255 printable ASCII characters")
    return key


async def _json_body(request: Request) -> bytes:
    """The body, if it claims to be JSON and is not too large for one notification."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise BadRequestError(415, "unsupported_media_type", "the body must be application/json")
    announced = request.headers.get("content-length", "")
    body = bytearray()
    if not announced.isdecimal() or int(announced) <= LARGEST_NOTIFICATION:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_NOTIFICATION:
                break
        else:
            if not body:
                raise InvalidRequestError([Fault("", "missing_body", "the body is empty")])
            return bytes(body)
    raise BadRequestError(413, "request_too_large", f"a notification has at most {LARGEST_NOTIFICATION} bytes")


def _json_time(value: Any) -> str:
    return str(value.isoformat().replace("+00:00", "Z"))
