"""The largest and most expensive request bodies of a route, at its limits and slightly beyond."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from support.documented_transport import resolve_reference

LONG = b"n" * 10_000
ABOVE_A_NOTIFICATION = 550_000
"""Bytes: more than a notification may have without its attachments, and few enough to be parsed for each field."""


@cache
def _filled(piece: bytes, size: int) -> bytes:
    """Repeat the piece with commas, up to that many bytes."""
    return b",".join([piece] * (size // (len(piece) + 1)))


@cache
def _names(size: int, length: int) -> bytes:
    """Build as many different members of an object as fit, each with the value 1."""
    count = size // (length + 6)
    return b",".join(b'"%0*d":1' % (length, number) for number in range(count))


def list_worst_bodies(schema: Mapping[str, Any], size: int, values: int) -> Iterator[tuple[str, bytes]]:
    """List names and bytes of bodies up to `size` for a request with this schema.

    The last ones have the maximum of values and names, so that they are parsed and validated.
    """
    room = size - 100
    yield "a wide object", b"{" + _names(room, 7) + b"}"
    yield "a few unknown fields of 10 KB", b"{" + _names(min(room, ABOVE_A_NOTIFICATION), len(LONG)) + b"}"
    yield "90 unknown fields", b"{" + _names(90 * 13, 7) + b"}"
    yield "a long list of {}", b"[" + _filled(b"{}", room) + b"]"
    yield "deep lists", b"[" * room
    yield "deep objects", b'{"a":' * (room // 6) + b"1" + b"}" * (room // 6)
    yield "one long text", b'{"a":"' + b"x" * room + b'"}'
    yield "nothing but escapes", b'{"a":"' + b"\\n" * (room // 2) + b'"}'
    room = min(room, ABOVE_A_NOTIFICATION)
    counted = min(room, (values // 2 - 20) * 3)
    for name in resolve_reference(dict(schema))["properties"]:
        for what, value in (
            ("as many {} as are parsed", b"[" + _filled(b"{}", counted) + b"]"),
            ("as many names as are parsed", b"{" + _names(min(room, counted * 4), 7) + b"}"),
            ("99 wrong items", b"[" + _filled(b"{}", 99 * 3) + b"]"),
            ("10 KB names", b"{" + _names(min(room, ABOVE_A_NOTIFICATION), len(LONG)) + b"}"),
            ("text", b'"' + b"\\u0001" * (room // 6) + b'"'),
        ):
            yield f"{name} of {what}", b'{"%s":%s}' % (name.encode(), value)
