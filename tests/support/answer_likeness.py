"""Whether an answer is like the one that a document shows: the same but for ids, times, secrets and durations.

What a document leaves out may be there; what it shows must be. `…` stands for anything.
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
    """Which id an answer really had for each id that a document shows; the same one stands for the same thing."""

    def put_into(self, text: str) -> str:
        """The text with the real ids."""
        return re.sub(_ID, lambda match: self.get(match[0], match[0]), text)


def parse_shown(shown: str) -> Any:
    """JSON in which `…` may stand for a value, the rest of an array, or the rest of an object."""
    written = ""
    for match in _TOKEN.finditer(shown):
        is_member = not written.rstrip().endswith(":") and re.match(r"\s*}", shown[match.end() :])
        rest = f'"{REST}": "{REST}"' if is_member else f'"{REST}"'
        written += rest if match[0] == REST else match[0]
    return json.loads(written)


def find_differences(shown: Any, real: Any, ids: Ids, at: str = "") -> list[str]:
    """Where the answer is not like what is shown; ids that are seen for the first time are noted."""
    if isinstance(shown, dict) and isinstance(real, dict):
        pairs = [(name, value) for name, value in shown.items() if name != REST]
        missing = [f"{at}/{name} is missing" for name, _ in pairs if name not in real]
        found = [find_differences(value, real[name], ids, f"{at}/{name}") for name, value in pairs if name in real]
        return missing + [one for each in found for one in each]
    if isinstance(shown, list) and isinstance(real, list):
        is_open = shown[-1:] == [REST]
        wanted = shown[:-1] if is_open else shown
        if len(real) < len(wanted) or (len(real) > len(wanted) and not is_open):
            return [f"{at} has {len(real)} items"]
        found = [
            find_differences(one, other, ids, f"{at}/{n}")
            for n, (one, other) in enumerate(zip(wanted, real, strict=False))
        ]
        return [one for each in found for one in each]
    if isinstance(shown, str):
        return [] if _is_like(shown, real, ids) else [f"{at} is {real!r}"]
    if at.endswith("_ms") and isinstance(real, int):
        return []
    return [] if shown == real and type(shown) is type(real) else [f"{at} is {real!r}"]


def parse_message(text: str) -> tuple[str, dict[str, str], str]:
    """The first line, the fields and the body of a message as HTTP writes it, or as a document shows it."""
    head, _, body = text.replace("\r\n", "\n").strip("\n").partition("\n\n")
    first, *lines = head.split("\n")
    fields = (line.partition(":") for line in lines)
    return first.strip(), {name.strip().lower(): value.strip() for name, _, value in fields}, body


def _is_like(shown: str, real: Any, ids: Ids) -> bool:
    if shown == REST:
        return True
    if not isinstance(real, str):
        return False
    pattern, at, named = "", 0, {}
    for number, match in enumerate(_PIECE.finditer(shown)):
        pattern += re.escape(shown[at : match.start()])
        if match["id"]:
            known = ids.get(match[0])
            named[f"id{number}"] = match[0]
            pattern += f"(?P<id{number}>{re.escape(known) if known else _ID})"
        else:
            pattern += _PATTERN[str(match.lastgroup)]
        at = match.end()
    found = re.fullmatch(pattern + re.escape(shown[at:]), real, re.DOTALL)
    if found:
        ids.update({id_: found[name] for name, id_ in named.items()})
    return found is not None
