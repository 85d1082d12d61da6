"""From JSON to the frozen values that callers get.

What a newer server adds is ignored, what a value needs and lacks is a `MalformedReplyError`.
"""

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from notifier.client.errors import MalformedReplyError

T = TypeVar("T")
RAW = "raw"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the API has answered."""

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """All of it as JSON, with what this version of the client has no field for."""


def decode_object(content: bytes) -> dict[str, Any]:
    """The JSON object in a reply. Raises `MalformedReplyError`."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MalformedReplyError("the reply is not JSON; is the URL that of Notifier's API?") from error
    if not isinstance(found, dict):
        raise MalformedReplyError("the reply is not a JSON object; is the URL that of Notifier's API?")
    return found


def read_reply(kind: type[T], value: Any, where: str = "") -> T:
    """A dataclass from a JSON object; a field that ends in `_` has its name on the wire without it."""
    if not isinstance(value, dict):
        raise MalformedReplyError(f"{where or 'the reply'} is not an object")
    given: dict[str, Any] = {}
    hashable: Any = kind
    for name, hint, needed in _fields(hashable):
        wire = name.rstrip("_")
        if name == RAW:
            given[name] = value
        elif wire in value:
            given[name] = _converted(hint, value[wire], f"{where}/{wire}")
        elif needed:
            raise MalformedReplyError(f"the reply lacks {where}/{wire}")
    return kind(**given)


def read_replies(kind: type[T], value: Any, where: str) -> tuple[T, ...]:
    """A tuple of them from a JSON array."""
    if not isinstance(value, list):
        raise MalformedReplyError(f"{where} is not an array")
    return tuple(read_reply(kind, one, f"{where}/{index}") for index, one in enumerate(value))


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, Any, bool], ...]:
    """Name and type of each field, and whether a value needs it."""
    hints = get_type_hints(kind)
    return tuple(
        (one.name, hints[one.name], one.default is MISSING and one.default_factory is MISSING) for one in fields(kind)
    )


def _converted(hint: Any, value: Any, where: str) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is types.UnionType:  # only `X | None` is used
        return None if value is None else _converted(inner[0], value, where)
    if origin is tuple:
        return _each(inner[0], value, where)
    if hasattr(hint, "__dataclass_fields__"):
        return read_reply(hint, value, where)
    if hint is datetime:
        return _time(value, where)
    return _plain(dict if origin is not None else hint, value, where)


def _each(hint: Any, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise MalformedReplyError(f"{where} is not an array")
    return tuple(_converted(hint, one, f"{where}/{index}") for index, one in enumerate(value))


def _time(value: Any, where: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise MalformedReplyError(f"{where} is not a time") from error


def _plain(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise MalformedReplyError(f"{where} is not of type {kind.__name__}")
    return value
