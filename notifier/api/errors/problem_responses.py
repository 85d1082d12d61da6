"""Answers every error as `application/problem+json` (RFC 9457) with a stable code.

An answer never holds a secret, SQL or a stack trace.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match

from notifier.api.errors import conflict_details
from notifier.api.errors.faults import (
    MAX_DETAIL_BYTES,
    FaultLister,
    build_more_errors,
    describe_error,
    get_common_code,
    shorten_text,
)
from notifier.api.errors.problem_catalogue import PROBLEM_ENTRIES, CatalogueEntry
from notifier.auth.authenticated_key import (
    InsufficientScopeError,
    NotOfServiceError,
    StrongerKindError,
    UnauthenticatedError,
)
from notifier.auth.key_admin import KeyEndedError, KeyReplacedError, TooManyKeysError
from notifier.auth.service_admin import ServiceExistsError
from notifier.auth.staff_admin import LastAdminError, StaffExistsError
from notifier.auth.staff_link import StaffDisabledError
from notifier.errors import (
    DatabaseUnavailableError,
    Fault,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    NotFoundError,
    NotifierError,
)
from notifier.feeds.feed_store import StaleFeedError, TooManyFeedsError
from notifier.feeds.revision_store import NothingToConfirmError
from notifier.jobs.job_control import JobStateError
from notifier.jobs.schedule_store import (
    BuiltInScheduleError,
    ScheduleBusyError,
    StaleScheduleError,
    TooManySchedulesError,
)
from notifier.lookup.content_preview import ContentGoneError, UnrenderableError
from notifier.merge.merge_view import (
    MergeFileGoneError,
    MergeHasFaultsError,
    MergeStateError,
    NothingToMergeError,
    TooManyMergesError,
)
from notifier.rendering.preview_pool import TooMuchRefusedError
from notifier.sse import TooManyStreamsError
from notifier.status.notification_actions import (
    AlreadyEndedError,
    AlreadyUnderWayError,
    BatchCancelledError,
    ContentErasedError,
    NotRetryableError,
    NotUnknownError,
)
from notifier.strict_json import MalformedJsonError, TooManyValuesError
from notifier.submission.notification_change import AlreadyAttemptedError, IsACopyError
from notifier.suppression import NotYoursError
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger
from notifier.telemetry.request_observer import get_request_id
from notifier.templating.assets.asset_store import AssetNotReadyError, StaleAssetError
from notifier.templating.draft_store import StaleDraftError, TemplateDeletedError
from notifier.templating.edit_rules import TooManyTemplatesError
from notifier.templating.layout_store import LayoutInUseError, StaleLayoutError
from notifier.templating.publishing import GateClosedError, NothingToPublishError
from notifier.templating.sync.sync_record import SyncRefusedError
from notifier.throttle.queue_forecast import QueueTooLongError
from notifier.throttle.token_bucket import RateLimitedError
from notifier.webhooks.delivery_history import EndpointDisabledError
from notifier.webhooks.endpoints import TooManyEndpointsError

MEDIA_TYPE = "application/problem+json"
_COUNT_BYTES = 100  # reserved in a detail for the number of faults


class BadRequestError(NotifierError):
    """The request cannot be understood."""

    def __init__(self, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.code = code
        self.headers = headers or {}
        super().__init__(detail)


_CODE_OF_ERROR: dict[type[NotifierError], str] = {
    UnauthenticatedError: "unauthenticated",
    InsufficientScopeError: "insufficient_scope",
    NotOfServiceError: "insufficient_scope",
    StrongerKindError: "key_kind_not_allowed",
    NotYoursError: "not_yours",
    NotFoundError: "not_found",
    IdempotencyInProgressError: "idempotency_in_progress",
    AlreadyUnderWayError: "already_under_way",
    AlreadyEndedError: "already_ended",
    AlreadyAttemptedError: "already_attempted",
    IsACopyError: "is_a_copy",
    NotRetryableError: "not_retryable",
    NotUnknownError: "not_unknown",
    BatchCancelledError: "batch_cancelled",
    ContentErasedError: "content_erased",
    ContentGoneError: "content_erased",
    UnrenderableError: "unrenderable",
    EndpointDisabledError: "endpoint_disabled",
    TooManyEndpointsError: "too_many_endpoints",
    StaleAssetError: "stale_asset",
    AssetNotReadyError: "asset_not_ready",
    TooManyTemplatesError: "too_many_templates",
    JobStateError: "job_state",
    MergeStateError: "merge_state",
    MergeHasFaultsError: "merge_has_faults",
    NothingToMergeError: "nothing_to_merge",
    TooManyMergesError: "too_many_merges",
    MergeFileGoneError: "merge_file_gone",
    StaleScheduleError: "stale_schedule",
    ScheduleBusyError: "schedule_busy",
    BuiltInScheduleError: "built_in_schedule",
    TooManySchedulesError: "too_many_schedules",
    StaleFeedError: "stale_feed",
    TooManyFeedsError: "too_many_feeds",
    NothingToConfirmError: "nothing_to_confirm",
    TooManyKeysError: "too_many_keys",
    KeyEndedError: "key_ended",
    KeyReplacedError: "key_replaced",
    ServiceExistsError: "service_exists",
    StaffExistsError: "staff_exists",
    LastAdminError: "last_admin",
    StaffDisabledError: "staff_disabled",
    StaleDraftError: "stale_draft",
    StaleLayoutError: "stale_layout",
    LayoutInUseError: "layout_in_use",
    TemplateDeletedError: "template_deleted",
    NothingToPublishError: "nothing_to_publish",
    GateClosedError: "gate_closed",
    SyncRefusedError: "newer_edits",
    IdempotencyKeyReusedError: "idempotency_key_reused",
    MalformedJsonError: "malformed_json",
    TooManyValuesError: "request_too_large",
    RateLimitedError: "rate_limited",
    TooManyStreamsError: "too_many_streams",
    TooMuchRefusedError: "too_much_refused",
    QueueTooLongError: "queue_too_long",
    DatabaseUnavailableError: "database_unavailable",
}
"""The code of each domain error; status and title are in the catalogue."""
_STATUS_OF_ERROR: dict[type[Exception], int] = {ContentGoneError: 410}
"""The status of the errors that have another one than their code: to read what is erased is no conflict."""
NOT_FOUND = 404
METHOD_NOT_ALLOWED = 405
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_HTTP_CODES = {NOT_FOUND: "not_found", METHOD_NOT_ALLOWED: "method_not_allowed", 413: "request_too_large"}


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error of this application as a problem."""
    app.add_exception_handler(NotifierError, _domain_error)
    app.add_exception_handler(HTTPException, answer_http_error)
    app.add_exception_handler(RequestValidationError, _parameter_error)
    app.add_exception_handler(ClientDisconnect, _disconnect_error)
    app.add_exception_handler(Exception, _unexpected_error)


async def _domain_error(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, InvalidRequestError):
        return _build_invalid_request(request, error.faults)
    if isinstance(error, BadRequestError):
        return build_problem(request, error.code, str(error), headers=error.headers)
    code = next((_CODE_OF_ERROR[kind] for kind in type(error).__mro__ if kind in _CODE_OF_ERROR), None)
    if code is None:
        return await _unexpected_error(request, error)
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, UnauthenticatedError) else {}
    if (seconds := getattr(error, "retry_after", None)) is not None:
        headers["Retry-After"] = str(seconds)
    members = await conflict_details.build_conflict_details(error)
    entry = PROBLEM_ENTRIES[code]
    entry = replace(entry, status=_STATUS_OF_ERROR.get(type(error), entry.status))
    return build_problem(request, code, str(error), entry=entry, headers=headers, members=members)


async def answer_http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer an error of the web framework as a problem."""
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code, "http_error")
    headers = dict(error.headers or {})
    detail = str(error.detail)
    if error.status_code == METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_list_methods(request))
        detail = f"this path takes {headers['Allow']}"
    if error.status_code == NOT_FOUND:
        detail = "there is nothing at this path; /docs lists all paths, and none ends with a slash"
    entry = CatalogueEntry(error.status_code, str(error.detail))
    return build_problem(request, code, detail, entry=entry, headers=headers)


def _list_methods(request: Request) -> list[str]:
    """List the methods of the path; the router would report only those of the first route."""
    routes: Sequence[BaseRoute] = request.app.routes
    scopes = {method: {**request.scope, "method": method} for method in _METHODS}
    allowed = [method for method, scope in scopes.items() if any(r.matches(scope)[0] is Match.FULL for r in routes)]
    return [name for method in allowed for name in (("GET", "HEAD") if method == "GET" else (method,))]


async def _parameter_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = [
        Fault("/" + "/".join(str(part) for part in fault["loc"]), "invalid_parameter", describe_error(fault))
        for fault in error.errors()
    ]
    return _build_invalid_request(request, faults)


async def _disconnect_error(request: Request, _error: Exception) -> JSONResponse:
    """Answer a caller who disconnected while sending: it is not an error of the server, and nobody reads the answer."""
    return build_problem(request, "disconnected", "the body was not complete")


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    get_logger().error("request_failed", error=type(error).__name__, exc_info=error)
    return build_problem(request, "internal_error", "it has been logged")


def _build_invalid_request(request: Request, faults: Sequence[Fault]) -> JSONResponse:
    """Build a 422 that lists as many faults as a reply may have."""
    listed, more = FaultLister().list_faults(faults)
    detail = "; ".join(f"{fault['pointer']}: {fault['detail']}" for fault in listed[:3])
    detail = shorten_text(detail, MAX_DETAIL_BYTES - _COUNT_BYTES)
    if more:
        detail += f"; and more: there are {len(faults):,} faults, of which {len(listed)} are listed"
    members = {"errors": listed} | build_more_errors(more)
    return build_problem(
        request, get_common_code(faults), detail, entry=PROBLEM_ENTRIES["invalid_request"], members=members
    )


def build_problem(
    request: Request,
    code: str,
    detail: str,
    *,
    entry: CatalogueEntry | None = None,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """Build a problem document; status and title are those of the code in the catalogue, unless `entry` is given."""
    entry = entry or PROBLEM_ENTRIES[code]
    metrics.REFUSED.labels(code).inc()
    body = {
        "type": f"/problems/{code}",
        "title": entry.title,
        "status": entry.status,
        "code": code,
        "detail": shorten_text(detail, MAX_DETAIL_BYTES),
        "errors": [],
        "request_id": get_request_id(request),
        **(members or {}),
    }
    return JSONResponse(body, entry.status, headers, MEDIA_TYPE)
