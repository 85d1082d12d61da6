"""`POST /v1/notifications` and `…/batch`: authenticate, parse, submit, answer."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import partial
from typing import Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from typing_extensions import TypeAliasType

from notifier import strict_json
from notifier.api import batch, content, reply, schema
from notifier.api.body import too_large
from notifier.api.body_limits import MAX_NOTIFICATION_BYTES
from notifier.api.change import with_body
from notifier.api.doors import Doors, doors_of
from notifier.api.reply_limits import FaultLister
from notifier.api.request import KEY_PATTERN, LONGEST_KEY, authenticated, idempotency_key, json_text, recognised
from notifier.api.request_body import load, parse_apart
from notifier.api.request_model import RequestModel
from notifier.auth.keys import Caller
from notifier.auth.scope import Scope
from notifier.errors import Fault, InvalidRequestError
from notifier.notification.check import Wanted
from notifier.notification.submit_batch import BatchRejectedError, Wish
from notifier.notification.write import Idempotency, Submitted
from notifier.states import Priority, WhenUncertain
from notifier.telemetry import metrics


class _Direct(APIRoute):
    """A route that calls its function directly: FastAPI documents it, and costs the busiest routes no time."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function itself."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


router = APIRouter(prefix="/v1/notifications", tags=["notifications"], route_class=_Direct)


def _key_parameter(suffix_length: int = 0) -> dict[str, Any]:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A request repeated with the same key is carried out once. Kept for 7 days by default.",
        "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY - suffix_length, "pattern": KEY_PATTERN},
    }


_DRY_PARAMETER = {
    "name": "dry_run",
    "in": "query",
    "description": "`true`: check the notification and show the mail (200); nothing is written.",
    "schema": {"type": "boolean", "default": False},
}


class DryRunOut(content.ContentOut):
    """The mail that would be sent; nothing was written."""

    dry_run: Literal[True]
    to: str
    from_address: str
    locale: str | None
    priority: Priority
    when_uncertain: WhenUncertain
    send_at: datetime
    expires_at: datetime


# Many generated clients read every answer with the schema of the lowest status and try alternatives in the order of
# their names. So the schema of 200 includes that of 202, whose name comes first.
SubmitResultOut = TypeAliasType("SubmitResultOut", DryRunOut | reply.AcceptedOut)


def _with_body(model: type[RequestModel], *parameters: dict[str, Any]) -> dict[str, Any]:
    return with_body(model, required=True) | {"parameters": list(parameters)}


@router.post(
    "",
    status_code=202,
    response_model=reply.AcceptedOut,
    operation_id="submit_notification",
    summary="Submit a notification",
    openapi_extra=_with_body(schema.NotificationIn, _key_parameter(), _DRY_PARAMETER),
    responses={200: {"model": SubmitResultOut, "description": "The answer to a dry run: the mail that would be sent."}},
)
async def submit(request: Request) -> Response:
    """Accept a notification. When this answers 202, it is committed and will not be lost."""
    doors = doors_of(request)
    with metrics.SUBMIT_SECONDS.time():
        caller = await recognised(request, doors)
        doors.limits.submitting(request, caller, 1)
        caller.require(Scope.SEND)
        key = idempotency_key(request)
        text = await json_text(request, max_bytes=schema.NotificationIn.limits.max_bytes)
        wanted, faults, idempotency = await parse_apart(partial(_parse, key=key), text)
        if _is_dry(request):
            return await _rehearsed(doors, caller, wanted, faults)
        if (copies := len(wanted.cc) + len(wanted.bcc)) and not faults:
            doors.limits.submitting(request, caller, copies)
        submitted = await doors.submitter.submit(caller, wanted, idempotency, faults=faults)
    headers = {"Location": f"/v1/notifications/{submitted.id}"}
    if submitted.replayed:
        headers["Idempotent-Replayed"] = "true"
    return _accepted(_shown(submitted, doors.clock.now()), headers)


@router.post(
    "/batch",
    status_code=202,
    response_model=batch.BatchOut,
    operation_id="submit_batch",
    summary="Submit a batch of notifications",
    openapi_extra=_with_body(batch.BatchShownIn, _key_parameter(batch.KEY_ROOM)),
)
async def submit_batch(request: Request) -> Response:
    """Accept up to a thousand notifications; each has an answer of its own, in their order."""
    doors = doors_of(request)
    with metrics.SUBMIT_SECONDS.time():
        # A batch that cannot be parsed counts as a request, so that a client that repeats it in a loop is stopped.
        caller = await authenticated(request, doors, Scope.SEND)
        key = idempotency_key(request, suffix_length=batch.KEY_ROOM)
        text = await json_text(request, max_bytes=batch.BatchIn.limits.max_bytes)
        received, wanted = await parse_apart(_parse_batch, text)
        doors.limits.submitting(request, caller, batch.mails(wanted))
        try:
            wish = Wish(items=batch.parse(wanted, received, key), key=key, reject_all=wanted.rejects_all)
            batch_id, answers = await doors.batch_submitter.submit(caller, wish)
        except BatchRejectedError as error:
            raise InvalidRequestError(await asyncio.to_thread(batch.told, wanted, error.faults)) from error
    now = doors.clock.now()
    lister = FaultLister(max_bytes=batch.MAX_BATCH_FAULTS_BYTES)
    results = [
        {"index": index}
        | (
            {"error": batch.list_refused(wanted, index, answer, lister)}
            if isinstance(answer, list)
            else _shown(answer, now) | {"replayed": answer.replayed}
        )
        for index, answer in enumerate(answers)
    ]
    return _accepted({"batch_id": batch_id, "results": results}, {"Location": f"/v1/batches/{batch_id}"})


def _is_dry(request: Request) -> bool:
    """Whether the request is a dry run. Raises `InvalidRequestError`."""
    value = request.query_params.get("dry_run", "false") if request.query_params else "false"
    if value not in ("true", "false"):
        raise InvalidRequestError([Fault("/query/dry_run", "invalid_parameter", "true or false")])
    return value == "true"


async def _rehearsed(doors: Doors, caller: Caller, wanted: Wanted, faults: list[Fault]) -> Response:
    """Answer a dry run with the mail that would be sent; nothing is written."""
    draft = await doors.submitter.draft(caller, wanted, None, faults)
    view = await doors.previewer.drafted(draft)
    row = draft.row
    names = ("from_address", "locale", "priority", "when_uncertain", "send_at", "expires_at")
    out = content.show(view) | {name: row[name] for name in names} | {"to": row["recipient"], "dry_run": True}
    return Response(msgspec.json.encode(out), 200, media_type="application/json")


def _parse(text: bytes, key: str | None) -> tuple[Wanted, list[Fault], Idempotency | None]:
    """Parse a notification; returns it, its faults, and the identity under which it may be repeated.

    Only attachments may make it larger than `MAX_NOTIFICATION_BYTES`.
    """
    received = load(schema.NotificationIn, text)
    if len(text) > MAX_NOTIFICATION_BYTES < schema.weight(received, len(text)):
        raise too_large(MAX_NOTIFICATION_BYTES, condition=" without attachments")
    body = schema.normalised_notification(received)
    wanted, faults = schema.parse(body, received)
    idempotency = Idempotency(key=key, request_hash=strict_json.canonical_hash(body)) if key is not None else None
    return wanted, faults, idempotency


def _parse_batch(text: bytes) -> tuple[batch.BatchIn, batch.BatchIn]:
    """Parse a batch; returns it as received, and without the fields that count as not set."""
    received = schema.parse_strictly(batch.BatchIn, load(batch.BatchIn, text))
    return received, received.normalised()


def _shown(submitted: Submitted, now: datetime) -> dict[str, Any]:
    """Build the reply for an accepted notification, and count it."""
    if not submitted.replayed:
        metrics.SUBMITTED.labels(submitted.status.value).inc()
    status = reply.shown_status(submitted.status, submitted.send_at, now)
    return {"id": submitted.id, "status": status, "created_at": submitted.created_at}


def _accepted(out: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(out), 202, headers, "application/json")
