"""Errors on the wire: `application/problem+json` (RFC 9457) with a stable code; never a secret, SQL or stack trace."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match

from notifier.api import conflict, shape_faults
from notifier.api.reply_limits import MAX_DETAIL_BYTES, FaultLister, code_of, more_errors, shorten
from notifier.auth.care import KeyEndedError, KeyReplacedError, TooManyKeysError
from notifier.auth.keys import InsufficientScopeError, NotOfServiceError, StrongerKindError, UnauthenticatedError
from notifier.errors import (
    DatabaseUnavailableError,
    Fault,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    NotFoundError,
    NotifierError,
)
from notifier.notification.change import (
    AlreadyEndedError,
    AlreadyUnderWayError,
    BatchCancelledError,
    NotRetryableError,
    NotUnknownError,
)
from notifier.notification.patch import AlreadyAttemptedError, IsACopyError
from notifier.notification.preview import UnrenderableError
from notifier.sse import TooManyStreamsError
from notifier.strict_json import MalformedJsonError, TooManyValuesError
from notifier.suppression import NotYoursError
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger
from notifier.templating.assets.asset import AssetNotReadyError, StaleAssetError
from notifier.templating.draft import StaleDraftError, TemplateDeletedError
from notifier.templating.layout import LayoutInUseError, StaleLayoutError
from notifier.templating.publish import GateClosedError, NothingToPublishError
from notifier.templating.room import TooManyTemplatesError
from notifier.throttle.forecast import QueueTooLongError
from notifier.throttle.rate import RateLimitedError
from notifier.throttle.turns import TooMuchRefusedError
from notifier.webhooks.endpoint import TooManyEndpointsError
from notifier.webhooks.history import EndpointDisabledError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "1"
_COUNT_BYTES = 100  # of a detail that says how many faults there are


class BadRequestError(NotifierError):
    """The request cannot be understood."""

    def __init__(self, status: int, code: str, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.status = status
        self.code = code
        self.headers = headers
        super().__init__(detail)


@dataclass(frozen=True)
class Kind:
    """How a domain error is shown."""

    status: int
    code: str
    title: str
    headers: tuple[tuple[str, str], ...] = ()


_KINDS: dict[type[NotifierError], Kind] = {
    UnauthenticatedError: Kind(401, "unauthenticated", "No valid API key", (("WWW-Authenticate", "Bearer"),)),
    InsufficientScopeError: Kind(403, "insufficient_scope", "The API key may not do this"),
    NotOfServiceError: Kind(403, "insufficient_scope", "The API key may not do this"),
    StrongerKindError: Kind(403, "key_kind_not_allowed", "A key of this kind may not do this"),
    NotYoursError: Kind(403, "not_yours", "Not yours to change"),
    NotFoundError: Kind(404, "not_found", "Not found"),
    IdempotencyInProgressError: Kind(409, "idempotency_in_progress", "Still being written", (("Retry-After", "1"),)),
    AlreadyUnderWayError: Kind(409, "already_under_way", "The mail is, or may be, on its way"),
    AlreadyEndedError: Kind(409, "already_ended", "The notification has ended"),
    AlreadyAttemptedError: Kind(409, "already_attempted", "It has been tried already"),
    IsACopyError: Kind(409, "is_a_copy", "This is a copy"),
    NotRetryableError: Kind(409, "not_retryable", "Neither failed nor expired"),
    NotUnknownError: Kind(409, "not_unknown", "Not unknown"),
    BatchCancelledError: Kind(409, "batch_cancelled", "Its batch was cancelled"),
    UnrenderableError: Kind(409, "unrenderable", "The mail cannot be made"),
    EndpointDisabledError: Kind(409, "endpoint_disabled", "The endpoint is disabled"),
    TooManyEndpointsError: Kind(409, "too_many_endpoints", "Too many endpoints"),
    StaleAssetError: Kind(409, "stale_asset", "Edit conflict"),
    AssetNotReadyError: Kind(409, "asset_not_ready", "The image is not ready"),
    TooManyTemplatesError: Kind(409, "too_many_templates", "Too many templates, layouts or images"),
    TooManyKeysError: Kind(409, "too_many_keys", "Too many API keys"),
    KeyEndedError: Kind(409, "key_ended", "The API key has ended"),
    KeyReplacedError: Kind(409, "key_replaced", "The API key has been rotated already"),
    StaleDraftError: Kind(409, "stale_draft", "Edit conflict"),
    StaleLayoutError: Kind(409, "stale_layout", "Edit conflict"),
    LayoutInUseError: Kind(409, "layout_in_use", "The layout is in use"),
    TemplateDeletedError: Kind(409, "template_deleted", "The template is deleted"),
    NothingToPublishError: Kind(409, "nothing_to_publish", "Nothing to publish"),
    GateClosedError: Kind(409, "gate_closed", "Callers would break"),
    IdempotencyKeyReusedError: Kind(422, "idempotency_key_reused", "Idempotency-Key used for another request"),
    MalformedJsonError: Kind(400, "malformed_json", "Not valid JSON"),
    TooManyValuesError: Kind(413, "request_too_large", "The request cannot be understood"),
    RateLimitedError: Kind(429, "rate_limited", "Too many requests"),
    TooManyStreamsError: Kind(429, "too_many_streams", "Too many event streams"),
    TooMuchRefusedError: Kind(429, "too_much_refused", "Too much was refused"),
    QueueTooLongError: Kind(503, "queue_too_long", "It would expire in the queue"),
    DatabaseUnavailableError: Kind(
        503, "database_unavailable", "Not accepted, or not confirmed; try again", (("Retry-After", RETRY_SECONDS),)
    ),
}
NOT_FOUND = 404
METHOD_NOT_ALLOWED = 405
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_HTTP_CODES = {NOT_FOUND: "not_found", METHOD_NOT_ALLOWED: "method_not_allowed", 413: "request_too_large"}


def install(app: FastAPI) -> None:
    """Answer every error of this application as a problem."""
    app.add_exception_handler(NotifierError, _domain_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _parameter_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected_error)


async def _domain_error(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, InvalidRequestError):
        return _invalid(request, error.faults)
    if isinstance(error, BadRequestError):
        return problem(
            request, Kind(error.status, error.code, "The request cannot be understood", error.headers), str(error)
        )
    for kind in type(error).__mro__:
        if kind in _KINDS:
            told = await conflict.told(error)
            return problem(request, _hurried(_KINDS[kind], error), str(error), also=told)
    return await _unexpected_error(request, error)


def _hurried(kind: Kind, error: Exception) -> Kind:
    """The kind, with when to come again if the error knows it."""
    seconds: int | None = getattr(error, "retry_after", None)
    return kind if seconds is None else replace(kind, headers=(*kind.headers, ("Retry-After", str(seconds))))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code, "http_error")
    headers = dict(error.headers or {})
    detail = str(error.detail)
    if error.status_code == METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
        detail = f"this path takes {headers['Allow']}"
    if error.status_code == NOT_FOUND:
        detail = "there is nothing at this path; /docs lists all paths, none of which ends with a slash"
    return problem(request, Kind(error.status_code, code, str(error.detail), (*headers.items(),)), detail)


def _methods(request: Request) -> list[str]:
    """With which methods the path can be asked; a path has a route for each, and the router only knows the first."""
    asked = [(method, {**request.scope, "method": method}) for method in _METHODS]
    allowed = [
        method for method, scope in asked if any(route.matches(scope)[0] is Match.FULL for route in _routes(request))
    ]
    return [name for method in allowed for name in (("GET", "HEAD") if method == "GET" else (method,))]


def _routes(request: Request) -> Sequence[BaseRoute]:
    routes: Sequence[BaseRoute] = request.app.routes
    return routes


async def _parameter_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = [
        Fault("/" + "/".join(str(part) for part in one["loc"]), "invalid_parameter", shape_faults.detail_of(one))
        for one in error.errors()
    ]
    return _invalid(request, faults)


async def _gone(request: Request, _error: Exception) -> JSONResponse:
    """The caller hung up while sending: nobody reads this, and it is no error of ours."""
    return problem(request, Kind(400, "disconnected", "The request ended too soon"), "the body was not complete")


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    get_logger().error("request_failed", error=type(error).__name__, request_id=request_id(request), exc_info=error)
    return problem(request, Kind(500, "internal_error", "Something went wrong on our side"), "it has been logged")


def _invalid(request: Request, faults: Sequence[Fault]) -> JSONResponse:
    """All faults that a reply has room for; the problem's own code is theirs when they agree on one."""
    listed, more = FaultLister().list_faults(faults)
    detail = "; ".join(f"{fault['pointer']}: {fault['detail']}" for fault in listed[:3])
    detail = shorten(detail, MAX_DETAIL_BYTES - _COUNT_BYTES)
    if more:
        detail += f"; and more: there are {len(faults):,} faults, of which {len(listed)} are listed"
    return problem(request, Kind(422, code_of(faults), "The request has faults"), detail, listed, more_errors(more))


def problem(
    request: Request,
    kind: Kind,
    detail: str,
    errors: Sequence[Mapping[str, str]] = (),
    also: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """One problem document; `also` has members that not every one has."""
    metrics.REFUSED.labels(kind.code).inc()
    body = {
        "type": f"/problems/{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "code": kind.code,
        "detail": shorten(detail, MAX_DETAIL_BYTES),
        "errors": list(errors),
        "request_id": request_id(request),
    }
    return JSONResponse(body | dict(also or {}), kind.status, dict(kind.headers), MEDIA_TYPE)


def request_id(request: Request) -> str:
    """An id that ties a reply to our log line."""
    if not hasattr(request.state, "request_id"):
        request.state.request_id = secrets.token_hex(8)
    return str(request.state.request_id)
