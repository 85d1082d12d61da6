"""`POST /v1/notifications`: authenticate, parse, submit, answer."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import partial
from typing import Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from typing_extensions import TypeAliasType

from notifier import strict_json
from notifier.api.dependencies import ApiDependencies, get_dependencies, recognise_service
from notifier.api.notifications import models, submission_models
from notifier.api.request_model import MAX_NOTIFICATION_BYTES, RequestModel
from notifier.api.request_reader import (
    IDEMPOTENCY_KEY_PATTERN,
    MAX_IDEMPOTENCY_KEY_LENGTH,
    build_too_large_error,
    document_body,
    get_idempotency_key,
    load_json,
    parse_in_thread,
    read_json_text,
)
from notifier.auth.authenticated_key import Caller, KeyScope
from notifier.errors import Fault, InvalidRequestError
from notifier.states import Priority, WhenUncertain
from notifier.submission.new_notification import Idempotency, NotificationRequest
from notifier.submission.notification_writer import SubmissionResult
from notifier.telemetry import metrics


class DirectRoute(APIRoute):
    """A route whose function reads the request itself: FastAPI only documents it, which saves time on busy routes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function itself."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


router = APIRouter(prefix="/v1/notifications", tags=["notifications"], route_class=DirectRoute)


def build_key_parameter(suffix_length: int = 0) -> dict[str, Any]:
    """Build the OpenAPI parameter of the Idempotency-Key."""
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


def document_submission(model: type[RequestModel], *parameters: dict[str, Any]) -> dict[str, Any]:
    """Document the body and the parameters of a submit, for `openapi_extra`."""
    return document_body(model) | {"parameters": list(parameters)}


@router.post(
    "",
    status_code=202,
    response_model=models.AcceptedOut,
    summary="Submit a notification",
    openapi_extra=document_submission(submission_models.NotificationIn, build_key_parameter(), _DRY_PARAMETER),
    responses={200: {"model": SubmitResultOut, "description": "The answer to a dry run: the mail that would be sent."}},
)
async def submit_notification(request: Request) -> Response:
    """Accept a notification. When this answers 202, it is committed and will not be lost."""
    dependencies = get_dependencies(request)
    with metrics.SUBMIT_SECONDS.time():
        caller = await recognise_service(request)
        dependencies.rate_limits.count_notifications(request, caller, 1)
        caller.require_scope(KeyScope.SEND)
        key = get_idempotency_key(request)
        text = await read_json_text(request, max_bytes=submission_models.NotificationIn.limits.max_bytes)
        notification, faults, idempotency = await parse_in_thread(partial(_parse_submission, key=key), text)
        if _is_dry_run(request):
            return await _answer_dry_run(dependencies, caller, notification, faults)
        if (copies := len(notification.cc) + len(notification.bcc)) and not faults:
            dependencies.rate_limits.count_notifications(request, caller, copies)
        submitted = await dependencies.submitter.submit(caller, notification, idempotency, parse_faults=faults)
    headers = {"Location": f"/v1/notifications/{submitted.id}"}
    if submitted.replayed:
        headers["Idempotent-Replayed"] = "true"
    return build_accepted_response(build_accepted(submitted, dependencies.clock.now()), headers)


def _is_dry_run(request: Request) -> bool:
    value = request.query_params.get("dry_run", "false") if request.query_params else "false"
    if value not in ("true", "false"):
        raise InvalidRequestError([Fault("/query/dry_run", "invalid_parameter", "true or false")])
    return value == "true"


async def _answer_dry_run(
    dependencies: ApiDependencies, caller: Caller, notification: NotificationRequest, faults: list[Fault]
) -> Response:
    draft = await dependencies.submitter.prepare(caller, notification, None, faults)
    names = ("from_address", "locale", "priority", "when_uncertain", "send_at", "expires_at")
    out = models.build_content_reply(await dependencies.previewer.preview_draft(draft))
    out |= {name: getattr(draft.row, name) for name in names} | {"to": draft.row.recipient, "dry_run": True}
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


def build_accepted(submitted: SubmissionResult, now: datetime) -> dict[str, Any]:
    """Build the reply for an accepted notification, and count it."""
    if not submitted.replayed:
        metrics.SUBMITTED.labels(submitted.status.value).inc()
    status = models.get_shown_status(submitted.status, submitted.send_at, now)
    return {"id": submitted.id, "status": status, "created_at": submitted.created_at}


def build_accepted_response(out: Any, headers: dict[str, str] | None = None) -> Response:
    """Build the 202 response."""
    return Response(msgspec.json.encode(out), 202, headers, "application/json")
