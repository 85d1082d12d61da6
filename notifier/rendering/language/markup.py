"""Where a text of HTML ends: between tags, in a tag, in an attribute's value or in what is no markup.

As much of the standard's tokenizer (HTML §13.2.5) as is needed to tell in which place a value would be shown.
"""

import html
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

LINKS: Final = frozenset(
    {
        "action", "archive", "cite", "classid", "codebase", "data", "formaction", "href", "icon", "longdesc",
        "manifest", "ping", "profile", "usemap", "xlink:href",
    }
)  # fmt: skip
IMAGES: Final = frozenset({"background", "dynsrc", "lowsrc", "poster", "src", "srcset"})
_RAW: Final = frozenset({"script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"})
_OPENING = re.compile(r"<!--(?!\[if)|</?(?:([a-zA-Z][^\s/>]*)|\Z)")
_DECIDES = re.compile(r"[:/?#]")
_CODE = re.compile(r"\s*(?:javascript|vbscript|livescript|mocha)\s*:", re.IGNORECASE)
_DATA = re.compile(r"\s*data\s*:", re.IGNORECASE)
_BLANKS = re.compile(r"\s*")
_BETWEEN = re.compile(r"[\s/]*")
_ATTRIBUTE = re.compile(r"=?[^\s/>=]*")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f]")


class Where(StrEnum):
    """The places that a value may stand in."""

    TEXT = "text"
    TAG = "tag"  # between attributes
    NAME = "name"  # right behind an attribute's name
    EQUALS = "equals"  # behind the equals sign
    VALUE = "value"
    RAW = "raw"  # in an element whose text is no markup
    COMMENT = "comment"


@dataclass(frozen=True, kw_only=True)
class Position:
    """A place in HTML."""

    where: Where = Where.TEXT
    element: str = ""
    attribute: str = ""
    quote: str = ""  # of a value; none if it has no quotes
    begun: str = ""  # what of a value's beginning is known
    decided: bool = False  # the value's scheme cannot be changed by what follows

    @property
    def is_link(self) -> bool:
        """Whether a link's address stands here."""
        return self.where in (Where.VALUE, Where.EQUALS) and self.attribute in LINKS | IMAGES

    @property
    def is_image(self) -> bool:
        """Whether it is that of something which is shown, not followed."""
        return self.attribute in IMAGES

    @property
    def is_style(self) -> bool:
        """Whether CSS stands here."""
        raw = self.where is Where.RAW and self.element == "style"
        return raw or (self.where in (Where.VALUE, Where.EQUALS) and self.attribute == "style")

    @property
    def is_code(self) -> bool:
        """Whether what stands here is run, or is a document of its own."""
        raw = self.where is Where.RAW and self.element in ("script", "iframe", "noembed", "noframes", "xmp")
        handler = self.attribute.startswith("on") or self.attribute == "srcdoc"
        return raw or (self.where in (Where.VALUE, Where.EQUALS) and handler)

    @property
    def is_bare(self) -> bool:
        """Whether a value stands here without quotes."""
        return self.where is Where.EQUALS or (self.where is Where.VALUE and not self.quote)

    @property
    def acts(self) -> bool:
        """Whether a value has to be looked at here before it is shown."""
        inside = self.where in (Where.TAG, Where.NAME) or self.is_code or self.is_bare
        return inside or (self.is_link and not self.decided) or (self.is_style and self.where is not Where.RAW)

    @property
    def runs_code(self) -> bool:
        """Whether the template's own text has begun a link that runs code."""
        if not self.is_link:
            return False
        seen = _UNSEEN.sub("", html.unescape(self.begun))
        return bool(_CODE.match(seen) or (not self.is_image and _DATA.match(seen)))

    def settled(self) -> "Position":
        """The same place by the name that it shares with those it cannot be told from."""
        if self.where is Where.NAME:
            return replace(self, where=Where.TAG, attribute="")
        return Position() if self.where is Where.TEXT else self

    def meets(self, other: "Position") -> bool:
        """Whether what follows both would be read in the same way."""
        if self.where is not other.where:
            return False
        if self.where is Where.TAG:
            return self.element == other.element
        return (self.element, self.attribute, self.quote) == (other.element, other.attribute, other.quote)

    def after_value(self) -> "Position":
        """The place behind a shown value: it begins a value without quotes, and settles where a link leads."""
        if self.where is Where.EQUALS:
            return replace(self, where=Where.VALUE, quote="", decided=True)
        return replace(self, decided=True) if self.where is Where.VALUE else self

    def after(self, text: str) -> "Position":
        """The place behind some text."""
        position, at = self, 0
        while at < len(text):
            position, at = _STEPS[position.where](position, text, at)
        return position


def _behind(text: str, at: int, skipped: re.Pattern[str] = _BLANKS) -> int:
    """The position behind what is skipped, which may be nothing."""
    found = skipped.match(text, at)
    return found.end() if found else at


def _in_text(position: Position, text: str, at: int) -> tuple[Position, int]:
    found = _OPENING.search(text, at)
    if not found:
        return position, len(text)
    if found[0].startswith("<!--"):
        return Position(where=Where.COMMENT), found.end()
    closing = "/" if found[0].startswith("</") else ""
    return Position(where=Where.TAG, element=closing + (found[1] or "").lower()), found.end()


def _in_tag(position: Position, text: str, at: int) -> tuple[Position, int]:
    at = _behind(text, at, _BETWEEN)
    if at == len(text):
        return position, at
    if text[at] == ">":
        where = Where.RAW if position.element in _RAW else Where.TEXT
        return Position(where=where, element=position.element if where is Where.RAW else ""), at + 1
    end = _behind(text, at, _ATTRIBUTE)
    return replace(position, where=Where.NAME, attribute=text[at:end].lower(), begun="", decided=False), end


def _in_name(position: Position, text: str, at: int) -> tuple[Position, int]:
    rest = _behind(text, at)
    if rest == len(text):
        return replace(position, where=Where.TAG), rest
    if text[rest] == "=":
        return replace(position, where=Where.EQUALS), rest + 1
    return replace(position, where=Where.TAG), at


def _in_equals(position: Position, text: str, at: int) -> tuple[Position, int]:
    at = _behind(text, at)
    if at == len(text):
        return position, at
    if text[at] == ">":
        return replace(position, where=Where.TAG), at
    quoted = text[at] in "\"'"
    return replace(position, where=Where.VALUE, quote=text[at] if quoted else ""), at + quoted


def _in_value(position: Position, text: str, at: int) -> tuple[Position, int]:
    ends = re.compile(re.escape(position.quote) if position.quote else r"[\s>]").search(text, at)
    end = ends.start() if ends else len(text)
    begun = position.begun if position.decided else position.begun + text[at:end]
    seen = html.unescape(begun)
    inside = replace(position, begun=begun, decided=position.decided or bool(_DECIDES.search(seen)))
    if inside.runs_code:
        return inside, len(text)  # told by whoever asked
    if not ends:
        return inside, end
    return Position(where=Where.TAG, element=position.element), end + len(position.quote)


def _in_raw(position: Position, text: str, at: int) -> tuple[Position, int]:
    found = re.compile(f"</{position.element}(?=[\\s/>])", re.IGNORECASE).search(text, at)
    return (Position(where=Where.TAG, element=f"/{position.element}"), found.end()) if found else (position, len(text))


def _in_comment(position: Position, text: str, at: int) -> tuple[Position, int]:
    end = text.find("-->", at)
    return (Position(), end + 3) if end >= 0 else (position, len(text))


_STEPS = {
    Where.TEXT: _in_text,
    Where.TAG: _in_tag,
    Where.NAME: _in_name,
    Where.EQUALS: _in_equals,
    Where.VALUE: _in_value,
    Where.RAW: _in_raw,
    Where.COMMENT: _in_comment,
}
