"""The JSON of one mail, checked as far as that can be done without the API: a bad call raises where it was made."""

import json
import re
from collections.abc import Mapping
from typing import Any

from notifier.client import request_fields
from notifier.client.errors import UnsendableError
from notifier.client.request_fields import Mail

MAX_BODY_BYTES = 512 * 1024
"""Octets of a notification without its attachments, as the API counts them."""
MAX_ATTACHMENT_BYTES = 10 * 1024 * 1024
"""Octets of all attachments together, decoded."""
MAX_DEPTH = 60
_LARGEST_INTEGER = 2**63
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_FIELDS = frozenset(Mail.__annotations__)


def build_row_body(mail: Mapping[str, Any]) -> str:
    """The mail as the JSON that the table keeps. Raises `UnsendableError`; `TypeError` for a field it has not."""
    if unknown := sorted(mail.keys() - _FIELDS):
        raise TypeError(f"a mail has no field {unknown[0]!r}")
    _require(mail)
    try:
        value = json.loads(request_fields.build_body(mail), object_pairs_hook=_object, parse_int=_integer)
        body = _written(value)
        octets = len(_written({name: value[name] for name in value if name != "attachments"}).encode())
    except UnicodeEncodeError as error:
        raise UnsendableError("a text has half a character in it (a lone surrogate)") from error
    if _NUL.search(body):
        raise UnsendableError("a text has a NUL in it")
    if octets > MAX_BODY_BYTES:
        raise UnsendableError(
            f"the mail has {octets} octets without its attachments; at most {MAX_BODY_BYTES} are taken"
        )
    if (attached := _attached(value.get("attachments"))) > MAX_ATTACHMENT_BYTES:
        raise UnsendableError(
            f"the attachments have {attached} octets together; at most {MAX_ATTACHMENT_BYTES} are taken"
        )
    if _depth(value) > MAX_DEPTH:
        raise UnsendableError(f"the mail is nested more than {MAX_DEPTH} levels deep")
    return body


def _require(mail: Mapping[str, Any]) -> None:
    to = mail.get("to")
    if not isinstance(to, str) or "@" not in to:
        raise UnsendableError("to: one address as text")
    if (mail.get("template") is None) == (mail.get("content") is None):
        raise UnsendableError("either template or content")


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnsendableError("two keys of an object are the same text, such as 1 and '1'")
    return found


def _integer(digits: str) -> int:
    number = int(digits)
    if abs(number) > _LARGEST_INTEGER:
        raise UnsendableError("an integer is larger than 2^63: send it as text")
    return number


def _attached(attachments: Any) -> int:
    """Octets of what base64 stands for."""
    return sum(len(one["content"]) * 3 // 4 - one["content"].count("=", -2) for one in attachments or ())


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while containers := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [inner for one in containers for inner in (one.values() if isinstance(one, dict) else one)]
    return depth
