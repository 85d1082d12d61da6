"""Variables that strangers have typed: plain text without markup, and without anything that a mail client makes a link.

A name is not an advertisement. What looks like one, `<a href=…>` or `win.example/now`, is left readable and dead, in
HTML and text alike; "J. R. Smith", "3.14" and "e.g. this" stay as they are.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Final

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG = re.compile(r"<[/!?a-zA-Z][^<>]*(?:>|\Z)")
_KEPT_CONTROLS: Final = "\n\t"
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):(?=\S)")
_AT = re.compile(r"(?<=\S)@(?=\S)")
_DOT = re.compile(r"(?<=\w)([.\u3002\uff0e\uff61])(?=\w{2,})")
_NUMBER_ENDS = re.compile(r"[0-9]+\Z")
_NUMBER_BEGINS = re.compile(r"[0-9]+(?![^\W\d_]|[0-9]*\.[^\W\d_])")


def cleaned(values: Mapping[str, Any], paths: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """The values with the texts at these paths, and below them, made harmless; paths go through lists."""
    result = dict(values)
    for path in paths:
        if path and path[0] in result:
            result[path[0]] = _at(result[path[0]], path[1:])
    return result


def _at(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_at(item, path) for item in value]
    if isinstance(value, dict):
        if not path:
            return {plain(key): _at(inner, ()) for key, inner in value.items()}
        return {key: _at(inner, path[1:]) if key == path[0] else inner for key, inner in value.items()}
    return plain(value) if isinstance(value, str) and not path else value


def plain(text: str) -> str:
    """The text without tags, comments, invisible characters and live links; entities stay the letters that they are."""
    text = "".join(character for character in text if _is_seen(character))
    return _defanged(_without_markup(text))


def _is_seen(character: str) -> bool:
    """Whether it is no control character and does not change the direction of text or hide in it."""
    return character in _KEPT_CONTROLS or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _without_markup(text: str) -> str:
    """Without tags and comments, again until none is left: `<<b>b>` must not leave one behind."""
    if "<" not in text:
        return text
    before = ""
    while before != text:
        before, text = text, _TAG.sub("", _COMMENT.sub("", text))
    return text.replace("<", "‹")


def _defanged(text: str) -> str:
    """With a blank where a mail client would see a scheme, a domain or an address."""
    text = _SCHEME.sub(r"\1: ", text)
    text = _AT.sub(" @ ", text)
    return _DOT.sub(_parted, text)


def _parted(found: re.Match[str]) -> str:
    """A dot between two words; between two numbers it is one of theirs."""
    before, after = found.string[: found.start()], found.string[found.end() :]
    if _NUMBER_ENDS.search(before[-20:]) and _NUMBER_BEGINS.match(after):
        return found[1]
    return f"{found[1]} "
