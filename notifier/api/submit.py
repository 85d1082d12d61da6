"""`POST /v1/notifications`: authenticate, parse, submit, answer. The one door that is busy."""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from notifier import strict_json
from notifier.api import schema
from notifier.api.doors import doors_of
from notifier.api.problems import BadRequestError
from notifier.api.request import authenticated, json_body
from notifier.auth.keys import Scope
from notifier.notification.write import Idempotency, Submitted
from notifier.telemetry import metrics

_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


class _Direct(APIRoute):
    """A route whose function is given the request: FastAPI documents it and has no further part in answering it."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:
        """The function itself."""
        endpoint: Callable[[Request], Awaitable[Response]] = self.endpoint
        return endpoint


router = APIRouter(prefix="/v1/notifications", tags=["notifications"], route_class=_Direct)


def _with_body(model: type[BaseModel]) -> dict[str, Any]:
    content = {"application/json": {"schema": model.model_json_schema(by_alias=True)}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "",
    status_code=202,
    response_model=schema.SubmittedOut,
    operation_id="submit_notification",
    openapi_extra=_with_body(schema.NotificationIn),
)
async def submit(request: Request) -> Response:
    """Accept a notification: when this answers 202, it is committed and will not be lost."""
    doors = doors_of(request)
    with metrics.SUBMIT_SECONDS.time():
        caller = await authenticated(request, doors, Scope.SEND)
        key = _idempotency_key(request)
        body = await json_body(request)
        wanted, faults = schema.parse(body)
        idempotency = Idempotency(key=key, request_hash=strict_json.canonical_hash(body)) if key is not None else None
        submitted = await doors.submitter.submit(caller, wanted, idempotency, faults=faults)
    if not submitted.replayed:
        metrics.SUBMITTED.labels(submitted.status.value).inc()
    headers = {"Location": f"/v1/notifications/{submitted.id}"}
    if submitted.replayed:
        headers["Idempotent-Replayed"] = "true"
    return _accepted(_shown(submitted, doors.clock.now()), headers)


def _shown(submitted: Submitted, now: datetime) -> dict[str, Any]:
    status = schema.shown_status(submitted.status, submitted.send_at, now)
    return {"id": submitted.id, "status": status, "created_at": submitted.created_at}


def _accepted(out: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(out), 202, headers, "application/json")


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise BadRequestError(400, "invalid_idempotency_key", "Idempotency-Key has 1 to 255 printable ASCII characters")
    return key
