"""Reading a JSON body strictly: what two parsers could read differently is refused (RFC 8259 §4, §8.1)."""

import hashlib
import json
import math
import re
from collections.abc import Iterable
from typing import Any

from notifier.errors import NotifierError

DEEPEST = 64
LARGEST_INTEGER = 2**63
_SURROGATE = re.compile("[\ud800-\udfff]")


class MalformedJsonError(NotifierError):
    """The body is not valid JSON."""


def loads(body: bytes) -> Any:
    """The value in a body: UTF-8, no duplicate keys, no NaN, no NUL, no lone surrogate, bounded depth and integers."""
    try:
        value = json.loads(
            body.decode("utf-8", errors="strict"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except MalformedJsonError:
        raise
    except UnicodeDecodeError as error:
        raise MalformedJsonError("the body is not UTF-8") from error
    except RecursionError as error:
        raise MalformedJsonError("the body is nested too deeply") from error
    except ValueError as error:
        raise MalformedJsonError(str(error)) from error
    _inspect(value)
    return value


def canonical_hash(value: Any) -> bytes:
    """SHA-256 of the value written in one way only: sorted keys, no white space (in the manner of RFC 8785)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).digest()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedJsonError("an object has the same key twice")
    return found


def _constant(name: str) -> Any:
    raise MalformedJsonError(f"{name} is not JSON")


def _integer(digits: str) -> int:
    # Longer than 2^63 in decimal: refused before converting, which takes quadratic time.
    if len(digits) > 20 or abs(int(digits)) > LARGEST_INTEGER:  # noqa: PLR2004
        raise MalformedJsonError("an integer is larger than 2^63")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise MalformedJsonError("a number is too large")
    return number


def _inspect(value: Any) -> None:
    """Walk the value without recursion; refuse what neither a database nor a mail can carry."""
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        if not level:
            return
        level = [inner for outer in level for inner in _children(outer)]
    if level:
        raise MalformedJsonError(f"the body is nested more than {DEEPEST} levels deep")


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        if "\x00" in value:
            raise MalformedJsonError("a string contains NUL")
        if _SURROGATE.search(value):
            raise MalformedJsonError("a string contains a lone surrogate")
    return ()
