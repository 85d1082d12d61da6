"""Cleaning of variables that strangers have typed: no markup, and nothing that a mail client would turn into a link.

A stranger's text must not advertise. Tags such as `<a href=…>` go, and addresses such as `win.example/now` stay
readable but cannot be clicked, in HTML and in text. "J. R. Smith", "3.14" and "e.g. this" do not change.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Final

_TAG = re.compile(r"<[/!?a-zA-Z][^<>]*>")
_KEPT: Final = "\n\t\u200c\u200d"
"""Line breaks, and the two joiners that Persian, Hindi and many emoji need."""
_HALF: Final = "\u2039"  # looks like “<”
_COLON = re.compile(r"(?<=[\w+.-]):(?=\S)")
_AT_SIGN = re.compile(r"(?<=\S)[@\uff20\ufe6b](?=\S)")
_DOT = re.compile(r"(?<=\S)[.\u3002\uff0e\uff61](?=[\w\u200c\u200d]{2,})")
_AMONG_NUMBERS = re.compile(r"[0-9]++(?!\.?[^\W\d])")


def clean_values(values: Mapping[str, Any], paths: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """The values with the texts at and below these paths cleaned; paths go through lists."""
    result = dict(values)
    for path in paths:
        if path and path[0] in result:
            result[path[0]] = _clean_at(result[path[0]], path[1:])
    return result


def _clean_at(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_clean_at(item, path) for item in value]
    if isinstance(value, dict):
        if not path:
            return {clean_text(key): _clean_at(inner, ()) for key, inner in value.items()}
        return {key: _clean_at(inner, path[1:]) if key == path[0] else inner for key, inner in value.items()}
    return clean_text(value) if isinstance(value, str) and not path else value


def clean_text(text: str) -> str:
    """The text without tags, comments, invisible characters and live links; entities stay as they are written."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(character for character in text if _is_seen(character))
    if "<" in text:
        text = _TAG.sub("", _without_comments(text)).replace("<", _HALF)  # a remaining “<” may begin a tag
    text = _COLON.sub(_behind_colon, text)
    text = _AT_SIGN.sub(" @ ", text)
    return _DOT.sub(_behind_dot, text)


def _is_seen(character: str) -> bool:
    """Whether the character is visible: no control character, and no invisible one such as a change of direction."""
    return character in _KEPT or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _without_comments(text: str) -> str:
    """Remove comments in one pass: a pattern would search for the end of each of a thousand open comments."""
    pieces, at = [], 0
    while (begins := text.find("<!--", at)) >= 0 and (ends := text.find("-->", begins + 4)) >= 0:
        pieces.append(text[at:begins])
        at = ends + 3
    return "".join((*pieces, text[at:]))


def _behind_colon(match: re.Match[str]) -> str:
    """A blank behind what may be a scheme, but not inside a time of day."""
    text, at = match.string, match.start()
    return ":" if text[at - 1].isdecimal() and text[at + 1].isdecimal() else ": "


def _behind_dot(match: re.Match[str]) -> str:
    """A blank behind a dot between words, but not inside a number."""
    text, at = match.string, match.start()
    return match[0] if text[at - 1].isdecimal() and _AMONG_NUMBERS.match(text, match.end()) else f"{match[0]} "
