"""The position at the end of a piece of HTML: between tags, in a tag, in an attribute's value, or in raw text.

It is a part of the HTML tokenizer (HTML §13.2.5) that can be resumed: enough to tell where a template's value stands.
"""

import html
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from notifier.mail.html_reader import RAW_TEXT_ELEMENTS

LINK_ATTRIBUTES: Final = frozenset(
    {
        "action", "archive", "cite", "classid", "codebase", "data", "formaction", "href", "icon", "longdesc",
        "manifest", "ping", "profile", "usemap", "xlink:href",
    }
)  # fmt: skip
IMAGE_ATTRIBUTES: Final = frozenset({"background", "dynsrc", "imagesrcset", "lowsrc", "poster", "src", "srcset"})
_PAGES: Final = frozenset({"embed", "frame", "iframe", "script"})
"""Elements whose `src` is a page or a script, not an image."""
_SRCSET_ATTRIBUTES: Final = frozenset({"imagesrcset", "srcset"})
ADDRESS_LIST_ATTRIBUTES: Final = frozenset({"archive", "ping"}) | _SRCSET_ATTRIBUTES
"""Attributes that hold several addresses."""
_ANIMATIONS: Final = frozenset({"animate", "animatecolor", "animatemotion", "animatetransform", "set"})
_ANIMATED: Final = frozenset({"by", "from", "to", "values"})
"""Attributes whose value an animation writes into another attribute, which may be a link."""
_ELEMENTS_WITH_AMBIGUOUS_COMMENTS: Final = frozenset(
    {"script", "style", "iframe", "noembed", "noframes", "xmp", "textarea"}
)
_OPENING = re.compile(r"<!--(?!\[if)(-?>)?|</?(?:([a-zA-Z][^\s/>]*)|\Z)")
_COMMENT_END = re.compile(r"--!?>")
_TAG_IN_TEXT = re.compile(r"<[a-zA-Z]")
_ENTRY = re.compile(r"[\s,]*(?P<address>\S*)(?P<rest>[^,]*)(?P<end>,?)")
"""An address of a `srcset` with its descriptor (HTML §4.8.4.2.2); a comma right behind an address ends it too."""
VALUE_PLACEHOLDER: Final = "\ue000"
"""Stands in `prefix` for a value."""
_ENDS_SCHEME = re.compile(r"[:/?#]")
_CODE = re.compile(r"\s*(?:javascript|vbscript|livescript|mocha)\s*:", re.IGNORECASE)
_DATA = re.compile(r"\s*data\s*:", re.IGNORECASE)
_BLANKS = re.compile(r"\s*")
_BETWEEN_ATTRIBUTES = re.compile(r"[\s/]*")
_ATTRIBUTE_NAME = re.compile(r"=?[^\s/>=]*")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


class HtmlState(StrEnum):
    """The states of the tokenizer in which a value may stand."""

    TEXT = "text"
    TAG = "tag"  # between attributes
    NAME = "name"  # right behind an attribute's name
    EQUALS = "equals"  # behind the equals sign
    VALUE = "value"
    RAW = "raw"  # in an element whose text is no markup
    COMMENT = "comment"


@dataclass(frozen=True, kw_only=True)
class HtmlPosition:
    """A position in HTML."""

    state: HtmlState = HtmlState.TEXT
    element: str = ""
    attribute: str = ""
    quote: str = ""  # around the value; empty if there is none
    prefix: str = ""  # the beginning of the attribute's value, as far as it is known
    is_scheme_fixed: bool = False  # what follows cannot change the scheme of the link
    is_ambiguous: bool = False  # mail programs and browsers disagree about where this element ends

    @property
    def is_link(self) -> bool:
        """Whether this is inside the address of a link or an image."""
        is_parameter = self.element == "param" and self.attribute == "value"
        is_named = self.attribute in LINK_ATTRIBUTES | IMAGE_ATTRIBUTES or is_parameter or self.is_animated
        return self.state in (HtmlState.VALUE, HtmlState.EQUALS) and is_named

    @property
    def is_image(self) -> bool:
        """Whether the attribute is the address of an image."""
        return self.attribute in IMAGE_ATTRIBUTES and not (self.attribute == "src" and self.element in _PAGES)

    @property
    def is_animated(self) -> bool:
        """Whether an animation takes its value from here; it may write it into a link."""
        return self.element in _ANIMATIONS and self.attribute in _ANIMATED

    @property
    def is_redirect(self) -> bool:
        """Whether the template's own text begins a `<meta>` that redirects the reader."""
        is_meta = self.state is HtmlState.VALUE and self.element == "meta" and self.attribute == "http-equiv"
        return is_meta and html.unescape(self.prefix).strip().lower().startswith("refresh")

    @property
    def refuses_values(self) -> bool:
        """Whether no value may stand here, because it would decide what the rest of the tag means."""
        inside = self.state in (HtmlState.VALUE, HtmlState.EQUALS)
        return inside and (self.is_animated or (self.element == "meta" and self.attribute == "http-equiv"))

    @property
    def is_style(self) -> bool:
        """Whether this is inside CSS."""
        raw = self.state is HtmlState.RAW and self.element == "style"
        return raw or (self.state in (HtmlState.VALUE, HtmlState.EQUALS) and self.attribute == "style")

    @property
    def is_code(self) -> bool:
        """Whether this is inside a script, or inside a document of its own."""
        raw = self.state is HtmlState.RAW and self.element in ("script", "iframe", "noembed", "noframes", "xmp")
        handler = self.attribute.startswith("on") or self.attribute == "srcdoc"
        return raw or (self.state in (HtmlState.VALUE, HtmlState.EQUALS) and handler)

    @property
    def is_bare(self) -> bool:
        """Whether a value here is an attribute's value without quotes."""
        return self.state is HtmlState.EQUALS or (self.state is HtmlState.VALUE and not self.quote)

    @property
    def needs_guard(self) -> bool:
        """Whether a value here needs more than escaping."""
        inside = self.state in (HtmlState.TAG, HtmlState.NAME) or self.is_code or self.is_bare
        return (
            inside or (self.is_link and not self.is_scheme_fixed) or (self.is_style and self.state is not HtmlState.RAW)
        )

    @property
    def runs_code(self) -> bool:
        """Whether the template's own text begins a link that runs code."""
        if not self.is_link:
            return False
        prefix = html.unescape(self.prefix)
        entries = re.split(r"[\s,;]", prefix) if self.attribute in ADDRESS_LIST_ATTRIBUTES or self.is_animated else ()
        addresses = [_CONTROL_CHARACTERS.sub("", text) for text in (prefix, *entries)]
        return any(_CODE.match(text) or (not self.is_image and _DATA.match(text)) for text in addresses)

    def normalize(self) -> "HtmlPosition":
        """The position in a form that is equal for positions from which text is read in the same way."""
        if self.state is HtmlState.NAME:
            return replace(self, state=HtmlState.TAG, attribute="")
        return HtmlPosition() if self.state is HtmlState.TEXT else self

    def matches(self, other: "HtmlPosition") -> bool:
        """Whether the text that follows is read in the same way at both positions."""
        if self.state is not other.state:
            return False
        if self.state is HtmlState.TAG:
            return self.element == other.element
        return (self.element, self.attribute, self.quote) == (other.element, other.attribute, other.quote)

    def advance_over_value(self) -> "HtmlPosition":
        """The position behind a value: it begins an unquoted value, and fixes the scheme of a link."""
        if self.attribute in ADDRESS_LIST_ATTRIBUTES and self.state in (HtmlState.EQUALS, HtmlState.VALUE):
            where = HtmlState.VALUE
            return replace(self, state=where, prefix=self.prefix + VALUE_PLACEHOLDER, is_scheme_fixed=True)
        if self.state is HtmlState.EQUALS:
            return replace(self, state=HtmlState.VALUE, quote="", is_scheme_fixed=True)
        return replace(self, is_scheme_fixed=True) if self.state is HtmlState.VALUE else self

    def advance(self, text: str) -> "HtmlPosition":
        """The position behind some text."""
        position, at = self, 0
        while at < len(text):
            position, at = _STEPS[position.state](position, text, at)
        return position


def _skip(text: str, at: int, skipped: re.Pattern[str] = _BLANKS) -> int:
    match = skipped.match(text, at)
    return match.end() if match else at


def _read_text(position: HtmlPosition, text: str, at: int) -> tuple[HtmlPosition, int]:
    match = _OPENING.search(text, at)
    if not match:
        return position, len(text)
    if match[0].startswith("<!--"):
        if match[1]:  # it ends where it begins
            return HtmlPosition(), match.end()
        return HtmlPosition(state=HtmlState.COMMENT), match.end()
    closing = "/" if match[0].startswith("</") else ""
    return HtmlPosition(state=HtmlState.TAG, element=closing + (match[2] or "").lower()), match.end()


def _read_tag(position: HtmlPosition, text: str, at: int) -> tuple[HtmlPosition, int]:
    at = _skip(text, at, _BETWEEN_ATTRIBUTES)
    if at == len(text):
        return position, at
    if text[at] == ">":
        where = HtmlState.RAW if position.element in RAW_TEXT_ELEMENTS else HtmlState.TEXT
        return HtmlPosition(state=where, element=position.element if where is HtmlState.RAW else ""), at + 1
    end = _skip(text, at, _ATTRIBUTE_NAME)
    return replace(
        position, state=HtmlState.NAME, attribute=text[at:end].lower(), prefix="", is_scheme_fixed=False
    ), end


def _read_name(position: HtmlPosition, text: str, at: int) -> tuple[HtmlPosition, int]:
    rest = _skip(text, at)
    if rest == len(text):
        return replace(position, state=HtmlState.TAG), rest
    if text[rest] == "=":
        return replace(position, state=HtmlState.EQUALS), rest + 1
    return replace(position, state=HtmlState.TAG), at


def _read_equals(position: HtmlPosition, text: str, at: int) -> tuple[HtmlPosition, int]:
    at = _skip(text, at)
    if at == len(text):
        return position, at
    if text[at] == ">":
        return replace(position, state=HtmlState.TAG), at
    quoted = text[at] in "\"'"
    return replace(position, state=HtmlState.VALUE, quote=text[at] if quoted else ""), at + quoted


def _read_value(position: HtmlPosition, text: str, at: int) -> tuple[HtmlPosition, int]:
    ends = re.compile(re.escape(position.quote) if position.quote else r"[\s>]").search(text, at)
    end = ends.start() if ends else len(text)
    is_list = position.attribute in ADDRESS_LIST_ATTRIBUTES
    prefix = position.prefix + text[at:end] if is_list or not position.is_scheme_fixed else position.prefix
    seen = _get_last_address(html.unescape(prefix), position.attribute) if is_list else html.unescape(prefix)
    is_decided = (
        (position.is_scheme_fixed and not is_list) or VALUE_PLACEHOLDER in seen or bool(_ENDS_SCHEME.search(seen))
    )
    inside = replace(position, prefix=prefix, is_scheme_fixed=is_decided)
    if inside.runs_code or inside.is_redirect:
        return inside, len(text)  # the caller refuses it
    if not ends:
        return inside, end
    return HtmlPosition(state=HtmlState.TAG, element=position.element), end + len(position.quote)


def _get_last_address(text: str, attribute: str) -> str:
    """The last of several addresses, as far as it is written; empty if the next one begins."""
    if attribute not in _SRCSET_ATTRIBUTES:
        return re.split(r"[\s,]", text)[-1]
    for match in _ENTRY.finditer(text):
        if match.end() < len(text) or match["end"]:
            continue
        return "" if match["rest"] or match["address"].endswith(",") else match["address"]
    return ""


def _read_raw(position: HtmlPosition, text: str, at: int) -> tuple[HtmlPosition, int]:
    closing = re.compile(f"</{position.element}(?=[\\s/>])", re.IGNORECASE).search(text, at)
    end = closing.start() if closing else len(text)
    ambiguous = (
        "<!--" in text[at:end]
        if position.element in _ELEMENTS_WITH_AMBIGUOUS_COMMENTS
        else _TAG_IN_TEXT.search(text, at, end)
    )
    if ambiguous and position.element != "style":
        return replace(position, is_ambiguous=True), len(text)  # the caller refuses it
    return (
        (HtmlPosition(state=HtmlState.TAG, element=f"/{position.element}"), closing.end())
        if closing
        else (position, len(text))
    )


def _read_comment(position: HtmlPosition, text: str, at: int) -> tuple[HtmlPosition, int]:
    end = _COMMENT_END.search(text, at)
    return (HtmlPosition(), end.end()) if end else (position, len(text))


_STEPS = {
    HtmlState.TEXT: _read_text,
    HtmlState.TAG: _read_tag,
    HtmlState.NAME: _read_name,
    HtmlState.EQUALS: _read_equals,
    HtmlState.VALUE: _read_value,
    HtmlState.RAW: _read_raw,
    HtmlState.COMMENT: _read_comment,
}
