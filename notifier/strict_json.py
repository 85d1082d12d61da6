"""Parses JSON strictly: a text that two parsers could read differently is refused (RFC 8259 §4, §8.1).

A byte order mark at the beginning is ignored, as §8.1 allows. The messages are for those who sent the body.
"""

import codecs
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import islice
from typing import Any, Final

import msgspec

from notifier.errors import NotifierError

MAX_DEPTH = 64
MAX_INTEGER = 2**63
_MAX_EXACT_FLOAT: Final = 2**53
_canonical_encoder = msgspec.json.Encoder(order="deterministic").encode
_ENCODINGS = {  # by the byte order mark; the longer ones first
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_SENTENCES = {
    "Expecting value": "a value is expected",
    "Expecting property name enclosed in double quotes": "a name in double quotes is expected",
    "Expecting ':' delimiter": "a colon is expected",
    "Expecting ',' delimiter": "a comma, or the end of the array or object, is expected",
    "Illegal trailing comma before end of object": "there is a comma behind the last entry",
    "Illegal trailing comma before end of array": "there is a comma behind the last entry",
    "Unterminated string starting at": "a string begins that is not closed",
    "Invalid control character at": "a string has a control character, which must be escaped",
    "Invalid \\escape": "a backslash stands before a character that cannot be escaped",
    "Invalid \\uXXXX escape": "\\u is not followed by four hexadecimal digits",
    "Extra data": "the value ends, and something follows",
}
"""The messages of Python's parser, and ours."""
_GZIP = b"\x1f\x8b"
_MARKS: Final = b",:[{"
_TOKEN = re.compile(rb'([,:\[{])|"[^"]*"?')


class MalformedJsonError(NotifierError):
    """The body is not valid JSON."""


class TooManyValuesError(NotifierError):
    """The body has too many JSON values and names."""

    def __init__(self, max_values: int) -> None:
        super().__init__(f"the body has more than {max_values} JSON values and names; send less at once")


def parse_json(body: bytes, *, keep_fractions: bool = False, max_values: int | None = None) -> Any:
    """Parse a body: UTF-8, no duplicate keys, no NaN, no NUL, no lone surrogate, limited depth and integers.

    `2.0` becomes `2`. With `keep_fractions` it stays a float: in a template's sample it says that the value may have a
    fraction.
    Raises `MalformedJsonError`, and `TooManyValuesError`, without parsing, for more than `max_values` values and names.
    """
    if max_values is not None and has_more_values(body, max_values):
        raise TooManyValuesError(max_values)
    if body.startswith(_GZIP):
        raise MalformedJsonError("the body is compressed: say so with Content-Encoding: gzip")
    if encoding := _detect_other_encoding(body):
        raise MalformedJsonError(f"the body is {encoding}; JSON is sent in UTF-8 (RFC 8259 §8.1)")
    try:
        text = body.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="strict")
        value = (_SAMPLE_DECODER if keep_fractions else _DECODER).decode(text)
    except MalformedJsonError:
        raise
    except UnicodeDecodeError as error:
        place = f"byte 0x{error.object[error.start]:02X} at position {error.start}"
        raise MalformedJsonError(f"the body is not UTF-8: {place}") from error
    except RecursionError as error:
        raise MalformedJsonError("the body is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise MalformedJsonError(_describe_mistake(error)) from error
    # Only escapes can be NUL or a lone surrogate: raw ones have been refused. Few brackets cannot nest deeply.
    has_escapes = "\\u" in text
    if has_escapes or text.count("[") + text.count("{") > MAX_DEPTH:
        _refuse_unstorable(value, check_texts=has_escapes)
    return value


def has_more_values(body: bytes, limit: int) -> bool:
    """Whether a JSON text has more than `limit` commas, colons and opening brackets outside its strings.

    Each value and each name follows one of them, so there are at most as many values and names. Nothing is parsed.
    """
    if len(body) - len(body.translate(None, _MARKS)) <= limit:
        return False
    # Some of them are in strings; without escapes a string ends at the next quote.
    text = body.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in body else body
    tokens = marks = 0
    for token in islice(_TOKEN.finditer(text), 2 * limit + 2):  # JSON has a mark between two strings
        tokens += 1
        marks += token.lastindex is not None
    return marks > limit or tokens > 2 * limit + 1


def parse_number(digits: str) -> int | float:
    """Parse a number by its value: `2.0`, `2e0` and `2` are the same (JSON Schema §6.1.1)."""
    number = float(digits)
    if not number.is_integer():
        return number
    if abs(number) < _MAX_EXACT_FLOAT:
        return int(number)
    try:
        return round(Decimal(digits))
    except ArithmeticError:  # its exponent is beyond what Decimal can hold
        return int(number)


def convert_whole_numbers(value: Any) -> Any:
    """Convert each number in a value as `parse_number` does."""
    if isinstance(value, dict):
        return {key: convert_whole_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [convert_whole_numbers(inner) for inner in value]
    return parse_number(repr(value)) if isinstance(value, float) else value


def _detect_other_encoding(body: bytes) -> str | None:
    """UTF-16 or UTF-32 if the body has their byte order mark, or NULs where they have them (RFC 4627 §3)."""
    for mark, name in _ENCODINGS.items():
        if body.startswith(mark):
            return name
    nuls = [position for position, byte in enumerate(body[:4]) if byte == 0]
    return {(1, 3): "UTF-16", (0, 2): "UTF-16", (1, 2, 3): "UTF-32", (0, 1, 2): "UTF-32"}.get(tuple(nuls))


def _describe_mistake(error: json.JSONDecodeError) -> str:
    """Say where the mistake is, what is expected, and what is there."""
    sentence = _SENTENCES.get(error.msg.rstrip(": "), "this is not JSON")
    if sentence.endswith("expected"):
        sentence += f", but {_describe_character(error.doc[error.pos : error.pos + 1])}"
    return f"line {error.lineno}, column {error.colno}: {sentence}"


def _describe_character(character: str) -> str:
    if not character:
        return "the body ends here"
    return f"here is {character}" if "!" <= character <= "~" else f"here is U+{ord(character):04X}"


def encode_canonical(value: Any) -> bytes:
    """Encode a value with sorted keys and without white space, similar to RFC 8785."""
    return _canonical_encoder(value)


def hash_canonical(value: Any) -> bytes:
    """Hash the canonical encoding with SHA-256."""
    return hashlib.sha256(encode_canonical(value)).digest()


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise MalformedJsonError("an object has the same key twice")
    return value


def _refuse_constant(name: str) -> Any:
    raise MalformedJsonError(f"{name} is not JSON")


def _parse_integer(digits: str) -> int:
    # Longer than 2^63 in decimal: refused before converting, which takes quadratic time.
    if len(digits) > 20 or abs(int(digits)) > MAX_INTEGER:  # noqa: PLR2004
        raise MalformedJsonError("an integer is larger than 2^63")
    return int(digits)


def _parse_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise MalformedJsonError("a number is too large")
    return number


def _parse_number(digits: str) -> int | float:
    _parse_float(digits)
    return parse_number(digits)


def _build_decoder(parse_float: Callable[[str], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_build_object,
        parse_constant=_refuse_constant,
        parse_int=_parse_integer,
        parse_float=parse_float,
    )


_DECODER, _SAMPLE_DECODER = _build_decoder(_parse_number), _build_decoder(_parse_float)


def _refuse_unstorable(value: Any, *, check_texts: bool) -> None:
    """Walk the value level by level, without recursion; refuse text that neither a database nor a mail can store."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        if check_texts:
            _refuse_unstorable_texts(level)
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return
        level = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
        if check_texts:
            level += [key for item in containers if isinstance(item, dict) for key in item]
    raise MalformedJsonError(f"the body is nested more than {MAX_DEPTH} levels deep")


def _refuse_unstorable_texts(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, str):
            if "\x00" in value:
                raise MalformedJsonError("a string contains NUL")
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise MalformedJsonError("a string contains a lone surrogate") from error
