"""Compares a response with the one in a document, except for ids, times, secrets and durations.

A field that the document omits may be present; a field that it shows must be. `…` stands for anything.
"""

import json
import re
from typing import Any

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_SIGNATURE = r"v1,[A-Za-z0-9+/=]+"
_SECONDS = r"\b1[0-9]{9}\b"
_PIECE = re.compile(f"(?P<any>…)|(?P<id>{_ID})|(?P<time>{_TIME})|(?P<signature>{_SIGNATURE})|(?P<seconds>{_SECONDS})")
_PATTERN = {"any": ".*", "time": _TIME, "signature": _SIGNATURE, "seconds": _SECONDS}
REST = "…"
_TOKEN = re.compile(rf'"(?:[^"\\]|\\.)*"|{REST}|[^"{REST}]+')


class Ids(dict[str, str]):
    """Maps each id in the document to the id of the real response."""

    def put_into(self, text: str) -> str:
        """Replace the document's ids in the text with the real ones."""
        return re.sub(_ID, lambda match: self.get(match[0], match[0]), text)


def parse_shown(text: str) -> Any:
    """JSON in which `…` may stand for a value, the rest of an array, or the rest of an object."""
    written = ""
    for match in _TOKEN.finditer(text):
        is_member = not written.rstrip().endswith(":") and re.match(r"\s*}", text[match.end() :])
        rest = f'"{REST}": "{REST}"' if is_member else f'"{REST}"'
        written += rest if match[0] == REST else match[0]
    return json.loads(written)


def find_differences(expected: Any, real: Any, ids: Ids, at: str = "") -> list[str]:
    """List the differences between response and document, and learn new ids."""
    if isinstance(expected, dict) and isinstance(real, dict):
        pairs = [(name, value) for name, value in expected.items() if name != REST]
        missing = [f"{at}/{name} is missing" for name, _ in pairs if name not in real]
        nested = [find_differences(value, real[name], ids, f"{at}/{name}") for name, value in pairs if name in real]
        return missing + [difference for each in nested for difference in each]
    if isinstance(expected, list) and isinstance(real, list):
        is_open = expected[-1:] == [REST]
        items = expected[:-1] if is_open else expected
        if len(real) < len(items) or (len(real) > len(items) and not is_open):
            return [f"{at} has {len(real)} items"]
        nested = [
            find_differences(item, actual, ids, f"{at}/{n}")
            for n, (item, actual) in enumerate(zip(items, real, strict=False))
        ]
        return [difference for each in nested for difference in each]
    if isinstance(expected, str):
        return [] if _is_like(expected, real, ids) else [f"{at} is {real!r}"]
    if at.endswith("_ms") and isinstance(real, int):
        return []
    return [] if expected == real and type(expected) is type(real) else [f"{at} is {real!r}"]


def parse_message(text: str) -> tuple[str, dict[str, str], str]:
    """Parse first line, header fields and body of an HTTP message."""
    head, _, body = text.replace("\r\n", "\n").strip("\n").partition("\n\n")
    first, *lines = head.split("\n")
    fields = (line.partition(":") for line in lines)
    return first.strip(), {name.strip().lower(): value.strip() for name, _, value in fields}, body


def _is_like(expected: str, real: Any, ids: Ids) -> bool:
    if expected == REST:
        return True
    if not isinstance(real, str):
        return False
    pattern, at, named = "", 0, {}
    for number, match in enumerate(_PIECE.finditer(expected)):
        pattern += re.escape(expected[at : match.start()])
        if match["id"]:
            known = ids.get(match[0])
            named[f"id{number}"] = match[0]
            pattern += f"(?P<id{number}>{re.escape(known) if known else _ID})"
        else:
            pattern += _PATTERN[str(match.lastgroup)]
        at = match.end()
    match_ = re.fullmatch(pattern + re.escape(expected[at:]), real, re.DOTALL)
    if match_:
        ids.update({id_: match_[name] for name, id_ in named.items()})
    return match_ is not None
