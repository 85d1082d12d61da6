"""Reads JSON into frozen dataclasses.

Fields that a newer server adds are ignored. A missing or wrong field raises `MalformedReplyError`.
"""

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from dataclasses import fields as dataclass_fields
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from notifier.client.errors import MalformedReplyError

T = TypeVar("T")
RAW = "raw"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A reply of the API."""

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The whole reply as JSON, with fields that this version does not know."""


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
        if name == RAW:
            values[name] = value
        elif wire in value:
            values[name] = _convert(hint, value[wire], f"{where}/{wire}")
        elif is_required:
            raise MalformedReplyError(f"the reply lacks {where}/{wire}")
    return kind(**values)


def read_replies(kind: type[T], value: Any, where: str) -> tuple[T, ...]:
    """Read a JSON array into a tuple of dataclasses."""
    if not isinstance(value, list):
        raise MalformedReplyError(f"{where} is not an array")
    return tuple(read_reply(kind, item, f"{where}/{index}") for index, item in enumerate(value))


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
    if origin is types.UnionType:  # only `X | None` is used
        return None if value is None else _convert(inner[0], value, where)
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
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise MalformedReplyError(f"{where} is not of type {kind.__name__}")
    return value
