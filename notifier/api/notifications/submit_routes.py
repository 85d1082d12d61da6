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
from notifier.api.authentication import authenticate_service, recognise_service
from notifier.api.batches import models as batch_models
from notifier.api.body import model_reader
from notifier.api.body.body_limits import MAX_NOTIFICATION_BYTES
from notifier.api.body.content_decoding import build_too_large_error, read_json_text
from notifier.api.body.model_reader import document_body, load_json, parse_in_thread
from notifier.api.body.request_model import RequestModel
from notifier.api.dependencies import ApiDependencies, get_dependencies
from notifier.api.errors.fault_lister import FaultLister
from notifier.api.idempotency_key import IDEMPOTENCY_KEY_PATTERN, MAX_IDEMPOTENCY_KEY_LENGTH, get_idempotency_key
from notifier.api.notifications import models, submission_models
from notifier.auth.authenticated_key import Caller
from notifier.auth.key_scope import KeyScope
from notifier.errors import Fault, InvalidRequestError
from notifier.states import Priority, WhenUncertain
from notifier.submission.batch_submitter import BatchRejectedError, BatchRequest
from notifier.submission.idempotency_keys import Idempotency, SubmissionResult
from notifier.submission.notification_request import NotificationRequest
from notifier.telemetry import metrics


class _DirectRoute(APIRoute):
    """A route that calls its function directly: FastAPI documents it, and costs the busiest routes no time."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function itself."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


router = APIRouter(prefix="/v1/notifications", tags=["notifications"], route_class=_DirectRoute)


def _key_parameter(suffix_length: int = 0) -> dict[str, Any]:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A request repeated with the same key is carried out once. Kept for 7 days by default.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_IDEMPOTENCY_KEY_LENGTH - suffix_length,
            "pattern": IDEMPOTENCY_KEY_PATTERN,
        },
    }


_DRY_PARAMETER = {
    "name": "dry_run",
    "in": "query",
    "description": "`true`: check the notification and show the mail (200); nothing is written.",
    "schema": {"type": "boolean", "default": False},
}


class DryRunOut(models.ContentOut):
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
SubmitResultOut = TypeAliasType("SubmitResultOut", DryRunOut | models.AcceptedOut)


def _document_submission(model: type[RequestModel], *parameters: dict[str, Any]) -> dict[str, Any]:
    return document_body(model, required=True) | {"parameters": list(parameters)}


@router.post(
    "",
    status_code=202,
    response_model=models.AcceptedOut,
    operation_id="submit_notification",
    summary="Submit a notification",
    openapi_extra=_document_submission(submission_models.NotificationIn, _key_parameter(), _DRY_PARAMETER),
    responses={200: {"model": SubmitResultOut, "description": "The answer to a dry run: the mail that would be sent."}},
)
async def submit_notification(request: Request) -> Response:
    """Accept a notification. When this answers 202, it is committed and will not be lost."""
    doors = get_dependencies(request)
    with metrics.SUBMIT_SECONDS.time():
        caller = await recognise_service(request, doors)
        doors.rate_limits.count_notifications(request, caller, 1)
        caller.require_scope(KeyScope.SEND)
        key = get_idempotency_key(request)
        text = await read_json_text(request, max_bytes=submission_models.NotificationIn.limits.max_bytes)
        notification, faults, idempotency = await parse_in_thread(partial(_parse_submission, key=key), text)
        if _is_dry_run(request):
            return await _answer_dry_run(doors, caller, notification, faults)
        if (copies := len(notification.cc) + len(notification.bcc)) and not faults:
            doors.rate_limits.count_notifications(request, caller, copies)
        submitted = await doors.submitter.submit(caller, notification, idempotency, faults=faults)
    headers = {"Location": f"/v1/notifications/{submitted.id}"}
    if submitted.replayed:
        headers["Idempotent-Replayed"] = "true"
    return _build_accepted_response(_build_accepted(submitted, doors.clock.now()), headers)


@router.post(
    "/batch",
    status_code=202,
    response_model=batch_models.BatchOut,
    operation_id="submit_batch",
    summary="Submit a batch of notifications",
    openapi_extra=_document_submission(batch_models.BatchShownIn, _key_parameter(batch_models.INDEX_SUFFIX_LENGTH)),
)
async def submit_batch(request: Request) -> Response:
    """Accept up to a thousand notifications; each has an answer of its own, in their order."""
    doors = get_dependencies(request)
    with metrics.SUBMIT_SECONDS.time():
        # A batch that cannot be parsed counts as a request, so that a client that repeats it in a loop is stopped.
        caller = await authenticate_service(request, doors, KeyScope.SEND)
        key = get_idempotency_key(request, suffix_length=batch_models.INDEX_SUFFIX_LENGTH)
        text = await read_json_text(request, max_bytes=batch_models.BatchIn.limits.max_bytes)
        received, batch = await parse_in_thread(_parse_batch, text)
        doors.rate_limits.count_notifications(request, caller, batch_models.count_mails(batch))
        try:
            batch_request = BatchRequest(
                items=batch_models.parse_items(batch, received, key), key=key, reject_all=batch.rejects_all
            )
            batch_id, answers = await doors.batch_submitter.submit(caller, batch_request)
        except BatchRejectedError as error:
            raise InvalidRequestError(
                await asyncio.to_thread(batch_models.list_batch_faults, batch, error.faults)
            ) from error
    now = doors.clock.now()
    lister = FaultLister(max_bytes=batch_models.MAX_BATCH_FAULTS_BYTES)
    results = [
        {"index": index}
        | (
            {"error": batch_models.build_item_error(batch, index, answer, lister)}
            if isinstance(answer, list)
            else _build_accepted(answer, now) | {"replayed": answer.replayed}
        )
        for index, answer in enumerate(answers)
    ]
    return _build_accepted_response({"batch_id": batch_id, "results": results}, {"Location": f"/v1/batches/{batch_id}"})


def _is_dry_run(request: Request) -> bool:
    """Whether the request is a dry run. Raises `InvalidRequestError`."""
    value = request.query_params.get("dry_run", "false") if request.query_params else "false"
    if value not in ("true", "false"):
        raise InvalidRequestError([Fault("/query/dry_run", "invalid_parameter", "true or false")])
    return value == "true"


async def _answer_dry_run(
    doors: ApiDependencies, caller: Caller, notification: NotificationRequest, faults: list[Fault]
) -> Response:
    """Answer a dry run with the mail that would be sent; nothing is written."""
    draft = await doors.submitter.prepare(caller, notification, None, faults)
    view = await doors.previewer.preview_draft(draft)
    row = draft.row
    names = ("from_address", "locale", "priority", "when_uncertain", "send_at", "expires_at")
    out = (
        models.build_content_reply(view)
        | {name: getattr(row, name) for name in names}
        | {"to": row.recipient, "dry_run": True}
    )
    return Response(msgspec.json.encode(out), 200, media_type="application/json")


def _parse_submission(text: bytes, key: str | None) -> tuple[NotificationRequest, list[Fault], Idempotency | None]:
    """Parse a notification; returns it, its faults, and the identity under which it may be repeated.

    Only attachments may make it larger than `MAX_NOTIFICATION_BYTES`.
    """
    received = load_json(submission_models.NotificationIn, text)
    if len(text) > MAX_NOTIFICATION_BYTES < submission_models.measure_without_attachments(received, len(text)):
        raise build_too_large_error(MAX_NOTIFICATION_BYTES, condition=" without attachments")
    body = submission_models.drop_unset_fields(received)
    notification, faults = submission_models.parse_notification(body, received)
    idempotency = Idempotency(key=key, request_hash=strict_json.hash_canonical(body)) if key is not None else None
    return notification, faults, idempotency


def _parse_batch(text: bytes) -> tuple[batch_models.BatchIn, batch_models.BatchIn]:
    """Parse a batch; returns it as received, and without the fields that count as not set."""
    received = model_reader.validate_body(batch_models.BatchIn, load_json(batch_models.BatchIn, text))
    return received, received.drop_unset()


def _build_accepted(submitted: SubmissionResult, now: datetime) -> dict[str, Any]:
    """Build the reply for an accepted notification, and count it."""
    if not submitted.replayed:
        metrics.SUBMITTED.labels(submitted.status.value).inc()
    status = models.get_shown_status(submitted.status, submitted.send_at, now)
    return {"id": submitted.id, "status": status, "created_at": submitted.created_at}


def _build_accepted_response(out: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(out), 202, headers, "application/json")
