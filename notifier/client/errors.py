"""What can go wrong when Notifier is called: one root, and a family for each thing a caller can do about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class NotifierClientError(Exception):
    """Something went wrong while calling Notifier."""


class ConfigurationError(NotifierClientError, ValueError):
    """The client lacks a URL or a key, or one of them cannot be right."""


class UnsendableError(NotifierClientError, ValueError):
    """The arguments cannot be made into a request; nothing was sent."""


class ConnectionFailedError(NotifierClientError, ConnectionError):
    """No reply was read, after every try that was allowed."""

    def __init__(self, message: str, tries: int, *, maybe_done: bool) -> None:
        self.tries = tries  # how often it was tried
        self.maybe_done = maybe_done  # True: at least one request may have arrived, so what it asked may have been done
        super().__init__(message, tries)

    def __str__(self) -> str:
        certainty = "it may have been done all the same" if self.maybe_done else "nothing was done"
        return f"{self.args[0]} (tries: {self.tries}; {certainty})"

    def __reduce__(self) -> tuple[object, ...]:
        return _connection_failed, (self.args[0], self.tries, self.maybe_done)


def _connection_failed(message: str, tries: int, maybe_done: bool) -> ConnectionFailedError:  # noqa: FBT001 - pickle's way
    return ConnectionFailedError(message, tries, maybe_done=maybe_done)


class MalformedReplyError(NotifierClientError):
    """The reply is not what Notifier answers; the URL may be wrong."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing wrong with a request."""

    pointer: str  # JSON pointer into the request (RFC 6901)
    code: str  # stable
    detail: str  # a sentence for a person


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An error as the API tells it (RFC 9457)."""

    status: int
    code: str  # stable; `http_<status>` if something else than the API has answered
    title: str = ""
    detail: str = ""
    errors: tuple[Fault, ...] = ()
    request_id: str | None = None  # ties the reply to a line of Notifier's log
    retry_after: float | None = None  # seconds
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # all of it, as JSON


class ApiError(NotifierClientError):
    """The API has refused, or could not do, what was asked."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def code(self) -> str:
        """The stable code."""
        return self.problem.code

    @property
    def detail(self) -> str:
        """A sentence for a person."""
        return self.problem.detail

    @property
    def errors(self) -> tuple[Fault, ...]:
        """Every fault of the request."""
        return self.problem.errors

    @property
    def request_id(self) -> str | None:
        """What to quote when asking about it."""
        return self.problem.request_id

    @property
    def retry_after(self) -> float | None:
        """Seconds after which the API wants to be asked again."""
        return self.problem.retry_after

    def __str__(self) -> str:
        faults = "; ".join(f"{fault.pointer or 'body'}: {fault.detail}" for fault in self.errors)
        said = faults or self.detail or self.problem.title
        quote = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.status} {self.code}: {said}{quote}"


class AuthenticationError(ApiError):
    """The key is unknown, revoked or expired (401)."""


class PermissionDeniedError(AuthenticationError):
    """The key is valid, and may not do this (403)."""


class InvalidRequestError(ApiError):
    """The request has faults; `errors` says where (400, 413, 415, 422)."""


class NotFoundError(ApiError):
    """There is no such thing, or it is another service's (404)."""


class ConflictError(ApiError):
    """It cannot be done as things stand; `code` and `detail` say how they stand (409)."""


class RateLimitedError(ApiError):
    """Too many requests; `retry_after` says when to come back (429)."""


class ServerError(ApiError):
    """The service, or something before it, could not answer (5xx)."""


_FAMILIES: Mapping[int, type[ApiError]] = {
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
_FIRST_OF_SERVER = 500


def build_api_error(problem: Problem) -> ApiError:
    """The error of the family to which the status belongs."""
    default = ServerError if problem.status >= _FIRST_OF_SERVER else ApiError
    return _FAMILIES.get(problem.status, default)(problem)


class WebhookVerificationError(NotifierClientError):
    """The webhook was not signed by Notifier with a secret that you know, or not lately; do not believe it."""
