"""A row of the producer table, without its database: the id, and the JSON of the mail, checked as far as possible.

It needs no SQLAlchemy, so that other writers of the table can use it.
"""

import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from notifier.client.errors import UnsendableError
from notifier.client.request_fields import Mail, build_body

MAX_BODY_BYTES = 512 * 1024
"""Bytes of a notification without its attachments, as the API counts them."""
MAX_ATTACHMENT_BYTES = 10 * 1024 * 1024
"""Bytes of all decoded attachments together."""
MAX_DEPTH = 60
_MAX_INTEGER = 2**63
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_FIELDS = frozenset(Mail.__annotations__)
_VERSION, _VARIANT = 0x7 << 76, 0x2 << 62


def generate_row_id() -> UUID:
    """Generate a UUID of version 7 with fractions of a millisecond (RFC 9562 §6.2, method 3); ids sort by time."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    noise = int.from_bytes(os.urandom(8), "big") >> 2
    return UUID(int=milliseconds << 80 | _VERSION | fraction << 64 | _VARIANT | noise)


def build_row_body(mail: Mapping[str, Any]) -> str:
    """Build the JSON of a row. Raises `UnsendableError`, or `TypeError` for an unknown field."""
    if unknown := sorted(mail.keys() - _FIELDS):
        raise TypeError(f"a mail has no field {unknown[0]!r}")
    _check_required(mail)
    try:
        value = json.loads(build_body(mail), object_pairs_hook=_build_object, parse_int=_parse_integer)
        body = _dump_json(value)
        size = len(_dump_json({name: value[name] for name in value if name != "attachments"}).encode())
    except UnicodeEncodeError as error:
        raise UnsendableError("a text contains half a character (a lone surrogate)") from error
    if _NUL.search(body):
        raise UnsendableError("a text contains a NUL character")
    if size > MAX_BODY_BYTES:
        raise UnsendableError(f"the mail has {size} bytes without its attachments; the maximum is {MAX_BODY_BYTES}")
    if (attached := _sum_attachments(value.get("attachments"))) > MAX_ATTACHMENT_BYTES:
        raise UnsendableError(f"the attachments have {attached} bytes together; the maximum is {MAX_ATTACHMENT_BYTES}")
    if _measure_depth(value) > MAX_DEPTH:
        raise UnsendableError(f"the mail is nested more than {MAX_DEPTH} levels deep")
    return body


def _check_required(mail: Mapping[str, Any]) -> None:
    to = mail.get("to")
    if not isinstance(to, str) or "@" not in to:
        raise UnsendableError("to must be one address as text")
    if (mail.get("template") is None) == (mail.get("content") is None):
        raise UnsendableError("give either template or content")


def _dump_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise UnsendableError("two keys of an object are the same text, such as 1 and '1'")
    return fields


def _parse_integer(digits: str) -> int:
    number = int(digits)
    if abs(number) > _MAX_INTEGER:
        raise UnsendableError("an integer is larger than 2^63: send it as text")
    return number


def _sum_attachments(attachments: Any) -> int:
    """The bytes of all attachments, decoded from base64."""
    contents = [attachment["content"] for attachment in attachments or ()]
    return sum(len(content) * 3 // 4 - content.count("=", -2) for content in contents)


def _measure_depth(value: Any) -> int:
    depth, level = 0, [value]
    while containers := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
    return depth
