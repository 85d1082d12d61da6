"""The errors of the client: one base class, and a class for each kind that a caller handles in its own way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any


class NotifierClientError(Exception):
    """Something went wrong while calling Notifier."""


class ConfigurationError(NotifierClientError, ValueError):
    """The URL or the key is missing or invalid."""


class UnsendableError(NotifierClientError, ValueError):
    """The arguments cannot be sent as a request; nothing was sent."""


class ConnectionFailedError(NotifierClientError, ConnectionError):
    """There was no reply, after every allowed attempt."""

    def __init__(self, message: str, tries: int, *, maybe_done: bool) -> None:
        self.tries = tries  # attempts
        self.maybe_done = maybe_done  # True: at least one request may have reached the server
        super().__init__(message, tries)

    def __str__(self) -> str:
        effect = "the request may have taken effect" if self.maybe_done else "nothing was done"
        return f"{self.args[0]} (tries: {self.tries}; {effect})"

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), maybe_done=self.maybe_done), (self.args[0], self.tries)


class MalformedReplyError(NotifierClientError):
    """The reply is not one of Notifier's API; the URL may be wrong."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault of a request."""

    pointer: str  # JSON pointer into the request (RFC 6901)
    code: str  # stable
    detail: str  # a sentence for a person


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An error of the API (RFC 9457)."""

    status: int
    code: str  # stable; `http_<status>` if the reply is not from the API
    title: str = ""
    detail: str = ""
    errors: tuple[Fault, ...] = ()
    request_id: str | None = None  # names the request in Notifier's log
    retry_after: float | None = None  # seconds
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # the whole reply, as JSON


class ApiError(NotifierClientError):
    """The API replied with an error."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.status = problem.status
        self.code = problem.code  # stable
        self.detail = problem.detail  # a sentence for a person
        self.errors = problem.errors
        self.request_id = problem.request_id  # to quote in questions about this request
        self.retry_after = problem.retry_after  # seconds to wait before another request
        super().__init__(problem)

    def __str__(self) -> str:
        faults = "; ".join(f"{fault.pointer or 'body'}: {fault.detail}" for fault in self.errors)
        description = faults or self.detail or self.problem.title
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.status} {self.code}: {description}{request}"


class AuthenticationError(ApiError):
    """The key is unknown, revoked or expired (401)."""


class PermissionDeniedError(AuthenticationError):
    """The key is valid, and may not do this (403)."""


class InvalidRequestError(ApiError):
    """The request has faults; `errors` says where (400, 413, 415, 422)."""


class NotFoundError(ApiError):
    """The object does not exist, or belongs to another service (404)."""


class ConflictError(ApiError):
    """The current state does not allow this; see `code` and `detail` (409)."""


class RateLimitedError(ApiError):
    """Too many requests; see `retry_after` (429)."""


class ServerError(ApiError):
    """The service, or a proxy before it, failed (5xx)."""


_CLASSES: Mapping[int, type[ApiError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: InvalidRequestError,
    415: InvalidRequestError,
    422: InvalidRequestError,
    429: RateLimitedError,
}
_FIRST_SERVER_ERROR = 500


def build_api_error(problem: Problem) -> ApiError:
    """Build the error of the class for this status."""
    default = ServerError if problem.status >= _FIRST_SERVER_ERROR else ApiError
    return _CLASSES.get(problem.status, default)(problem)


class WebhookVerificationError(NotifierClientError):
    """The webhook has no valid signature, or is too old. Do not trust it."""
