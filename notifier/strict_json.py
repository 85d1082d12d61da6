"""Reading a JSON body strictly: what two parsers could read differently is refused (RFC 8259 §4, §8.1)."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from notifier.errors import NotifierError

DEEPEST = 64
LARGEST_INTEGER = 2**63
_EXACT_IN_A_FLOAT: Final = 2**53
_SURROGATE = re.compile("[\ud800-\udfff]")
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class MalformedJsonError(NotifierError):
    """The body is not valid JSON."""


def loads(body: bytes, *, keep_fractions: bool = False) -> Any:
    """The value in a body: UTF-8, no duplicate keys, no NaN, no NUL, no lone surrogate, bounded depth and integers.

    `2.0` is read as `2`; with `keep_fractions` it stays a float, because a sample says by it that fractions may come.
    """
    try:
        text = body.decode("utf-8", errors="strict")
        value = (_SAMPLE_DECODER if keep_fractions else _DECODER).decode(text)
    except MalformedJsonError:
        raise
    except UnicodeDecodeError as error:
        raise MalformedJsonError("the body is not UTF-8") from error
    except RecursionError as error:
        raise MalformedJsonError("the body is nested too deeply") from error
    except ValueError as error:
        raise MalformedJsonError(str(error)) from error
    # NUL and half a character can only be escaped here: raw ones have been refused. Few brackets cannot nest deeply.
    escaped = "\\u" in text
    if escaped or text.count("[") + text.count("{") > DEEPEST:
        _inspect(value, texts=escaped)
    return value


def read_number(digits: str) -> int | float:
    """A JSON number by its value, however it is written: `2.0`, `2e0` and `2` are the same (JSON Schema §6.1.1)."""
    number = float(digits)
    if not number.is_integer():
        return number
    if abs(number) < _EXACT_IN_A_FLOAT:
        return int(number)
    try:
        return round(Decimal(digits))
    except ArithmeticError:  # its exponent is beyond what Decimal can hold
        return int(number)


def with_whole_numbers(value: Any) -> Any:
    """The value with each number as `read_number` reads it."""
    if isinstance(value, dict):
        return {key: with_whole_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_whole_numbers(inner) for inner in value]
    return read_number(repr(value)) if isinstance(value, float) else value


def canonical(value: Any) -> bytes:
    """The value written in one way only: sorted keys, no white space (in the manner of RFC 8785)."""
    return _CANONICAL.encode(value).encode()


def canonical_hash(value: Any) -> bytes:
    """SHA-256 of the canonical text."""
    return hashlib.sha256(canonical(value)).digest()


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


def _number(digits: str) -> int | float:
    _float(digits)
    return read_number(digits)


def _decoder(parse_float: Callable[[str], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=parse_float
    )


_DECODER, _SAMPLE_DECODER = _decoder(_number), _decoder(_float)


def _inspect(value: Any, *, texts: bool) -> None:
    """Walk the value level by level, without recursion; refuse what neither a database nor a mail can carry."""
    level: list[Any] = [value]
    for _ in range(DEEPEST + 1):
        if texts:
            _refuse_strange(level)
        containers = [one for one in level if isinstance(one, dict | list)]
        if not containers:
            return
        level = [inner for one in containers for inner in (one.values() if isinstance(one, dict) else one)]
        if texts:
            level += [key for one in containers if isinstance(one, dict) for key in one]
    raise MalformedJsonError(f"the body is nested more than {DEEPEST} levels deep")


def _refuse_strange(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, str):
            if "\x00" in value:
                raise MalformedJsonError("a string contains NUL")
            if _SURROGATE.search(value):
                raise MalformedJsonError("a string contains a lone surrogate")
