"""One call of the API as a value: what is asked, how the answer is read, and what may be done twice.

Nothing here talks to anybody: `blocking` and `awaiting` carry calls out, `tries` decides about repeating them.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from http import HTTPMethod
from typing import Any, Generic, TypeVar
from uuid import UUID

from notifier.client.errors import ApiError, Fault, MalformedReplyError, Problem, UnsendableError, error_for
from notifier.client.reading import decode, read, read_each
from notifier.client.reply import Page
from notifier.client.retry_hint import read_retry_after

T = TypeVar("T")
_ID = re.compile(r"[A-Za-z0-9_-]+")
GET, POST, PUT, PATCH, DELETE = HTTPMethod.GET, HTTPMethod.POST, HTTPMethod.PUT, HTTPMethod.PATCH, HTTPMethod.DELETE
_REPEATABLE = frozenset({GET, PUT, DELETE})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    content: bytes
    at: datetime  # aware


@dataclass(frozen=True, kw_only=True)
class Lost:
    """Nothing came back."""

    error: Exception
    arrived: bool  # False: the request has surely not been read by anybody
    hopeless: bool = False  # True: another try would fail in the same way


def _finished(_value: object) -> bool:
    return False


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request to the API, and how its reply is read."""

    method: HTTPMethod
    path: str
    read: Callable[[Answer], T]  # what the answer means
    _: KW_ONLY
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    idempotency_key: str | None = None
    accept: str | None = None  # the type of the answer; None: JSON
    same_twice: bool = False  # True: done twice it is as if done once, though the method alone does not say so
    unfinished: Callable[[T], bool] = _finished  # True for a value for which it is worth asking again

    @property
    def repeatable(self) -> bool:
        """True if a request whose answer was lost may be sent again."""
        return self.same_twice or self.idempotency_key is not None or self.method in _REPEATABLE

    @property
    def headers(self) -> dict[str, str]:
        """What this call adds to the headers of all."""
        kind = {} if self.body is None else {"Content-Type": "application/json"}
        key = {} if self.idempotency_key is None else {"Idempotency-Key": self.idempotency_key}
        accept = {} if self.accept is None else {"Accept": f"{self.accept}, application/problem+json"}
        return kind | key | accept


PageCall = Call[Page[T]]


def following(call: PageCall[T], page: Page[T]) -> PageCall[T] | None:
    """The call for the page after this one; None after the last."""
    if page.next is None or page.next == call.query.get("before"):
        return None
    return replace(call, query={**call.query, "before": page.next})


def segment(id_: str | UUID) -> str:
    """An id as a part of a path. Raises `UnsendableError` for anything that could lead elsewhere."""
    text = str(id_)
    if not _ID.fullmatch(text):
        raise UnsendableError(f"{text!r} is no id")
    return text


def read_as(kind: type[T]) -> Callable[[Answer], T]:
    """The reader of a reply that is one JSON object."""
    return lambda answer: read(kind, decode(answer.content))


def read_nothing(_answer: Answer) -> None:
    """The reader of a reply whose status says everything."""


def page_of(kind: type[T], name: str) -> Callable[[Answer], Page[T]]:
    """The reader of one page, whose items stand under `name`."""

    def read_items(answer: Answer) -> Page[T]:
        fields = decode(answer.content)
        following = fields.get("next")
        if not isinstance(following, str | None):
            raise MalformedReplyError("next is no cursor")
        return Page(items=read_each(kind, fields.get(name), name), next=following, raw=fields)

    return read_items


def failure(answer: Answer) -> ApiError:
    """The error that an answer tells."""
    try:
        told = json.loads(answer.content)
        problem = _problem(answer, told)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        kind = answer.headers.get("content-type", "without a type")
        detail = f"the answer is not one of Notifier's ({kind}); is the URL right, or what stands before it ill?"
        problem = Problem(
            status=answer.status, code=f"http_{answer.status}", detail=detail, retry_after=retry_after(answer)
        )
    return error_for(problem)


def _problem(answer: Answer, told: Any) -> Problem:
    return Problem(
        status=answer.status,
        code=str(told["code"]),
        title=str(told.get("title") or ""),
        detail=str(told.get("detail") or ""),
        errors=tuple(_fault(fault) for fault in told.get("errors") or ()),
        request_id=told.get("request_id"),
        retry_after=retry_after(answer),
        raw=told,
    )


def _fault(told: Any) -> Fault:
    """What is said about one field; a word that is missing does not make the whole problem unreadable."""
    return Fault(**{name: str(told.get(name) or "") for name in ("pointer", "code", "detail")})


def retry_after(answer: Answer) -> float | None:
    """Seconds to wait as the server says; None if it says nothing."""
    return read_retry_after(answer.headers.get("retry-after", ""), answer.at)
