"""A call of the API as a value: the request, how its reply is read, and whether it may be repeated.

Nothing here sends anything: `blocking` and `awaiting` carry calls out, `tries` decides about retries.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from http import HTTPMethod
from typing import Any, Generic
from uuid import UUID

from notifier.backoff import parse_retry_after
from notifier.client.errors import ApiError, Fault, MalformedReplyError, Problem, UnsendableError, build_api_error
from notifier.client.notification_reply import Page
from notifier.client.reply_reader import T, decode_object, read_replies, read_reply

_ID = re.compile(r"[A-Za-z0-9_-]+")
GET, POST, PUT, PATCH, DELETE = HTTPMethod.GET, HTTPMethod.POST, HTTPMethod.PUT, HTTPMethod.PATCH, HTTPMethod.DELETE
_REPEATABLE = frozenset({GET, PUT, DELETE})


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """A reply of the server."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    content: bytes
    at: datetime  # aware


@dataclass(frozen=True, kw_only=True)
class NoResponse:
    """The request had no reply."""

    error: Exception
    may_have_arrived: bool  # False: no server has read the request
    is_permanent: bool = False  # True: a retry would fail in the same way


def _finished(_value: object) -> bool:
    return False


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request to the API, and how its reply is read."""

    method: HTTPMethod
    path: str
    read: Callable[[HttpResponse], T]  # what the reply means
    _: KW_ONLY
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    idempotency_key: str | None = None
    accept: str | None = None  # the type of the reply; None: JSON
    is_idempotent: bool = False  # True: repeating it changes nothing more, although the method alone does not say so
    is_unfinished: Callable[[T], bool] = _finished  # True for a value that a repeated request may complete

    @property
    def is_repeatable(self) -> bool:
        """True if a request whose reply was lost may be sent again."""
        return self.is_idempotent or self.idempotency_key is not None or self.method in _REPEATABLE

    @property
    def headers(self) -> dict[str, str]:
        """The headers of this call besides those of every request."""
        content_type = {} if self.body is None else {"Content-Type": "application/json"}
        key = {} if self.idempotency_key is None else {"Idempotency-Key": self.idempotency_key}
        accept = {} if self.accept is None else {"Accept": f"{self.accept}, application/problem+json"}
        return content_type | key | accept


PageCall = Call[Page[T]]


def build_next_page_call(call: PageCall[T], page: Page[T]) -> PageCall[T] | None:
    """Build the call for the next page; None after the last."""
    if page.next is None or page.next == call.query.get("before"):
        return None
    return replace(call, query={**call.query, "before": page.next})


def check_segment(id_: str | UUID) -> str:
    """Return an id as a path segment. Raises `UnsendableError` for anything that could change the path."""
    text = str(id_)
    if not _ID.fullmatch(text):
        raise UnsendableError(f"{text!r} is not an id")
    return text


def read_as(kind: type[T]) -> Callable[[HttpResponse], T]:
    """The reader of a reply that is one JSON object."""
    return lambda answer: read_reply(kind, decode_object(answer.content))


def read_nothing(_answer: HttpResponse) -> None:
    """The reader of a reply whose status says everything."""


def read_page(kind: type[T], name: str) -> Callable[[HttpResponse], Page[T]]:
    """The reader of one page, whose items stand under `name`."""

    def read_items(answer: HttpResponse) -> Page[T]:
        fields = decode_object(answer.content)
        following = fields.get("next")
        if not isinstance(following, str | None):
            raise MalformedReplyError("next is not a cursor")
        return Page(items=read_replies(kind, fields.get(name), name), next=following, raw=fields)

    return read_items


def build_error(answer: HttpResponse) -> ApiError:
    """Build the error that a reply describes."""
    try:
        problem = _read_problem(answer, json.loads(answer.content))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        content_type = answer.headers.get("content-type", "without a type")
        detail = f"the reply is not from Notifier ({content_type}): check the URL, and the proxies before the API"
        problem = Problem(
            status=answer.status, code=f"http_{answer.status}", detail=detail, retry_after=get_retry_after(answer)
        )
    return build_api_error(problem)


def _read_problem(answer: HttpResponse, fields: Any) -> Problem:
    return Problem(
        status=answer.status,
        code=str(fields["code"]),
        title=str(fields.get("title") or ""),
        detail=str(fields.get("detail") or ""),
        errors=tuple(_read_fault(fault) for fault in fields.get("errors") or ()),
        request_id=fields.get("request_id"),
        retry_after=get_retry_after(answer),
        raw=fields,
    )


def _read_fault(fields: Any) -> Fault:
    """Read one fault; a missing part does not make the whole problem unreadable."""
    return Fault(**{name: str(fields.get(name) or "") for name in ("pointer", "code", "detail")})


def get_retry_after(answer: HttpResponse) -> float | None:
    """The seconds to wait that the server asks for, or None."""
    return parse_retry_after(answer.headers.get("retry-after", ""), answer.at)
