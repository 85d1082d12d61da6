"""A call of the API as a value: the request, how its JSON reply is read, and whether it may be repeated.

Nothing here sends anything: `blocking` and `awaiting` carry calls out, `retry_policy` decides about retries.
Fields that a newer server adds to a reply are ignored. A missing or wrong field raises `MalformedReplyError`.
"""

import inspect
import json
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, MISSING, dataclass, field, replace
from dataclasses import fields as dataclass_fields
from datetime import datetime
from functools import cache
from http import HTTPMethod
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

from notifier.backoff import parse_retry_after
from notifier.client.errors import ApiError, Fault, MalformedReplyError, Problem, UnsendableError, build_api_error
from notifier.client.file_body import FileBody
from notifier.client.request_fields import build_body, build_query

T = TypeVar("T")
M = TypeVar("M", bound=Callable[..., Any])
GET, POST, PUT, PATCH, DELETE = HTTPMethod.GET, HTTPMethod.POST, HTTPMethod.PUT, HTTPMethod.PATCH, HTTPMethod.DELETE
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9]+)?")  # an id, a slug, or the name of a layout file
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


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A reply of the API."""

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The whole reply as JSON, with fields that this version does not know."""


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list."""

    items: tuple[T, ...]
    next: str | None = None  # pass it as `before` to get the next page; None on the last
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request to the API, and how its reply is read."""

    method: HTTPMethod
    path: str
    read: Callable[[HttpResponse], T]  # turns the reply into a value
    _: KW_ONLY
    query: Mapping[str, str | list[str]] = field(default_factory=dict)
    cursor: str = "before"  # the name in the query that takes the `next` of the page before
    body: bytes | None = field(default=None, repr=False)
    file: FileBody | None = None  # instead of `body`
    idempotency_key: str | None = None
    accept: str | None = None  # the type of the reply; None: JSON
    is_idempotent: bool = False  # True: repeating it changes nothing more, although the method alone does not say so
    is_unfinished: Callable[[T], bool] | None = None  # True for a value that a repeated request may complete

    @property
    def is_repeatable(self) -> bool:
        """True if a request whose reply was lost may be sent again."""
        return self.is_idempotent or self.idempotency_key is not None or self.method in _REPEATABLE

    @property
    def headers(self) -> dict[str, str]:
        """The headers of this call besides those of every request."""
        content_type = {} if self.body is None else {"Content-Type": "application/json"}
        content = content_type if self.file is None else self.file.headers
        key = {} if self.idempotency_key is None else {"Idempotency-Key": self.idempotency_key}
        accept = {} if self.accept is None else {"Accept": f"{self.accept}, application/problem+json"}
        return content | key | accept


PageCall = Call[Page[T]]


def build_call(
    method: HTTPMethod,
    path: tuple[str | UUID, ...],
    read: Callable[[HttpResponse], T],
    *,
    query: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    **options: Any,
) -> Call[T]:
    """Build a call from the segments of its path, its query and the fields of its body; values of None are left out.

    Raises `UnsendableError` for a segment that could change the path, and for a value that JSON does not have.
    """
    body = None if fields is None else build_body(fields)
    whole = "/".join(("/v1", *map(_check_segment, path)))
    return Call(method, whole, read, query=build_query(query or {}), body=body, **options)


def _check_segment(segment: str | UUID) -> str:
    text = str(segment)
    if not _SEGMENT.fullmatch(text):
        raise UnsendableError(f"{text!r} is neither an id nor a name")
    return text


def build_next_page_call(call: PageCall[T], page: Page[T]) -> PageCall[T] | None:
    """Build the call for the next page; None after the last."""
    if page.next is None or page.next == call.query.get(call.cursor):
        return None
    return replace(call, query={**call.query, call.cursor: page.next})


def describe_method(method: M, build: Callable[..., Any]) -> M:
    """Give a method of a client the docstring and the parameters of the call that it carries out."""
    method.__doc__ = build.__doc__
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [self, *inspect.signature(build).parameters.values()]
    vars(method)["__signature__"] = inspect.Signature(parameters)
    return method


def read_as(kind: type[T]) -> Callable[[HttpResponse], T]:
    """Return the function that reads a reply of one JSON object."""
    return lambda answer: read_reply(kind, decode_object(answer.content))


def read_replayable(kind: type[T]) -> Callable[[HttpResponse], T]:
    """Return the function that reads one JSON object, and into `replayed` whether an earlier request had the reply."""

    def read(answer: HttpResponse) -> T:
        is_replayed = answer.headers.get("idempotent-replayed") == "true"
        return read_reply(kind, {"replayed": is_replayed} | decode_object(answer.content))

    return read


def read_object(answer: HttpResponse) -> dict[str, Any]:
    """Read a reply of one JSON object as it is."""
    return decode_object(answer.content)


def read_nothing(_answer: HttpResponse) -> None:
    """Read a reply of which only the status matters."""


def read_content(answer: HttpResponse) -> bytes:
    """Return the bytes of a reply that is not JSON."""
    return answer.content


def read_page(kind: type[T], name: str) -> Callable[[HttpResponse], Page[T]]:
    """Return the function that reads one page, whose items are in the field `name`."""

    def read_items(answer: HttpResponse) -> Page[T]:
        fields = decode_object(answer.content)
        following = fields.get("next")
        if not isinstance(following, str | int | None):
            raise MalformedReplyError("next is not a cursor")
        cursor = None if following is None else str(following)
        return Page(items=read_replies(kind, fields.get(name), name), next=cursor, raw=fields)

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


def decode_object(content: bytes) -> dict[str, Any]:
    """Decode a JSON object. Raises `MalformedReplyError`."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MalformedReplyError("the reply is not JSON; is the URL that of Notifier's API?") from error
    if not isinstance(fields, dict):
        raise MalformedReplyError("the reply is not a JSON object; is the URL that of Notifier's API?")
    return fields


def read_reply(kind: type[T], value: Any, where: str = "") -> T:
    """Read a JSON object into a dataclass. A field whose name ends in `_` is without it in JSON."""
    if not isinstance(value, dict):
        raise MalformedReplyError(f"{where or 'the reply'} is not an object")
    values: dict[str, Any] = {}
    hashable: Any = kind
    for name, hint, is_required in _list_fields(hashable):
        wire = name.rstrip("_")
        if name == "raw":
            values[name] = value
        elif wire in value:
            values[name] = _convert(hint, value[wire], f"{where}/{wire}")
        elif is_required:
            raise MalformedReplyError(f"the reply lacks {where}/{wire}")
    return kind(**values)


def read_replies(kind: type[T], value: Any, where: str) -> tuple[T, ...]:
    """Read a JSON array into a tuple of dataclasses or times."""
    return _convert_items(kind, value, where)


@cache
def _list_fields(kind: type[Any]) -> tuple[tuple[str, Any, bool], ...]:
    """The name and type of each field, and whether it is required."""
    hints = get_type_hints(kind)
    return tuple(
        (field.name, hints[field.name], field.default is MISSING and field.default_factory is MISSING)
        for field in dataclass_fields(kind)
    )


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is types.UnionType:  # `X | None`, or an object or an array
        if value is None and types.NoneType in inner:
            return None
        fitting = (kind for kind in inner if (get_origin(kind) is tuple) == isinstance(value, list))
        return _convert(next(fitting, inner[0]), value, where)
    if origin is tuple:
        return _convert_items(inner[0], value, where)
    if hasattr(hint, "__dataclass_fields__"):
        return read_reply(hint, value, where)
    if hint is datetime:
        return _parse_time(value, where)
    return _check_type(dict if origin is not None else hint, value, where)


def _convert_items(hint: Any, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise MalformedReplyError(f"{where} is not an array")
    return tuple(_convert(hint, item, f"{where}/{index}") for index, item in enumerate(value))


def _parse_time(value: Any, where: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise MalformedReplyError(f"{where} is not a time") from error


def _check_type(kind: type, value: Any, where: str) -> Any:
    kinds = (int, float) if kind is float else kind  # JSON may write 3.0 as 3
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool):
        raise MalformedReplyError(f"{where} is not of type {kind.__name__}")
    return value
