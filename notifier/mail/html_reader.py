"""Read HTML: split it into tags, comments and texts (WHATWG HTML §13.2.5), or parse it into a tree of elements.

Joining the pieces gives the document again, byte for byte, so that a tag can be rewritten and the rest stays as it was.
The tree is what a browser builds (selectolax, which wraps the HTML5 parser Lexbor). Parsing takes bounded time for
hostile input: what is over the limits below loses its tag, never its text.
"""

import html
import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from selectolax.lexbor import LexborHTMLParser

VOID_ELEMENTS: Final = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
)
"""Elements without content."""
RAW_TEXT_ELEMENTS: Final = ("style", "script", "title", "textarea", "iframe", "xmp", "noembed", "noframes")
"""Elements that hold text and no tags."""
OPTIONAL_END_ELEMENTS: Final = VOID_ELEMENTS | {
    "a", "body", "colgroup", "dd", "dt", "head", "html", "li", "optgroup", "option", "p", "tbody", "td", "tfoot", "th",
    "thead", "tr",
}  # fmt: skip
"""Elements that may lack an end tag: many of them need not mean that they stand within each other."""

_ATTRIBUTES: Final = r"""(?:[^<>"'=]+|=\s*"[^"]*"|=\s*'[^']*'|=|["'])*+"""
_MARKUP: Final = re.compile(
    r"(<(?:/[^>]*+(?:>|\Z)"
    r"|!--(?:-?>|.*?(?:--!?>|\Z))"
    r"|[!?][^>]*+(?:>|\Z)"
    + "".join(
        rf"|(?i:{name})(?=[\s/>]){_ATTRIBUTES}>.*?(?:</(?i:{name})(?=[\s/>])[^>]*+(?:>|\Z)|\Z)"
        for name in RAW_TEXT_ELEMENTS
    )
    + rf"|[a-zA-Z]{_ATTRIBUTES}>))",
    re.DOTALL,
)
STYLE_TAG: Final = re.compile(rf"<(?i:style)(?=[\s/>]){_ATTRIBUTES}>")
_START_TAG: Final = re.compile(rf"<(?P<name>[a-zA-Z][^\s/>]*){_ATTRIBUTES}>")
_TAG_ATTRIBUTE: Final = re.compile(
    r"""(?P<name>[^\s/>][^\s/>=]*)(?:\s*=\s*(?P<value>"[^"]*"|'[^']*'|(?!["'])[^\s>]*))?"""
)


class TagAttribute(NamedTuple):
    """An attribute as written."""

    name: str  # in lower case
    raw: str  # the value without its quotes, character references as they stand
    start: int  # place of the name in the markup
    end: int  # behind the value and its quotes
    value_start: int  # behind the quote; -1: there is no value
    is_quoted: bool

    @property
    def value(self) -> str:
        """The value with character references decoded."""
        return html.unescape(self.raw)


@dataclass(frozen=True, slots=True)
class StartTag:
    """A start tag."""

    name: str  # in lower case
    attributes: list[TagAttribute]
    name_end: int
    end: int  # behind the `>`; the text of a raw text element follows

    @property
    def values(self) -> dict[str, str]:
        """The value of each attribute; of two with the same name the first counts."""
        values: dict[str, str] = {}
        for attribute in self.attributes:
            values.setdefault(attribute.name, attribute.value)
        return values


def split_html(text: str) -> list[str]:
    """Split a document into text, markup, text, …, text; a raw text element with its end tag is one piece."""
    return _MARKUP.split(text)


def read_start_tag(markup: str) -> StartTag | None:
    """Read the start tag at the beginning of a piece of markup; None if there is another kind of markup."""
    tag = _START_TAG.match(markup)
    if tag is None:
        return None
    attributes = [_build_attribute(match) for match in _TAG_ATTRIBUTE.finditer(markup, tag.end("name"), tag.end() - 1)]
    return StartTag(tag["name"].lower(), attributes, tag.end("name"), tag.end())


def _build_attribute(match: re.Match[str]) -> TagAttribute:
    value = match["value"] or ""
    is_quoted = value[:1] in ("'", '"') and len(value) > 1
    raw = value[1:-1] if is_quoted else value
    return TagAttribute(
        match["name"].lower(), raw, match.start(), match.end(), match.start("value") + is_quoted, is_quoted
    )


MIN_DEPTH: Final = 500  # elements within each other that any mail may have, those with an optional end tag not counted
MAX_OPEN_ELEMENT_STEPS: Final = 20_000_000  # open elements that all the tags of a mail may have to look through
MAX_REOPENED_ELEMENTS: Final = 100_000  # formatting elements that all the blocks of a mail may open again
MIN_FORMATTING_DEPTH: Final = 8  # open formatting elements that any mail may have
MAX_CLONED_CHARACTERS: Final = 20_000_000  # of formatting tags and links, if each tag of a mail opened them again
MIN_KEPT_TAG_LENGTH: Final = 200  # characters of such a tag that may have attributes in any mail
MAX_ATTRIBUTES: Final = 1_000  # in one tag
MIN_LIMITED_TAGS: Final = 1_000  # tags; fewer are parsed without a limit
_FORMATTING: Final = frozenset(
    {"b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"}
)
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_MIN_LONG_TAG: Final = 5_000  # characters; shorter tags cannot have too many attributes
_LONG_TAG: Final = re.compile(rf"<[a-zA-Z][^<>]{{{_MIN_LONG_TAG},}}")
_CLONED_TAG: Final = re.compile(
    rf"(<(?i:a|{'|'.join(sorted(_FORMATTING))}))(?=[\s/])(?:[^>\"'=]+|=\s*\"[^\"]*\"|=\s*'[^']*'|=|[\"'])*+>"
)
_QUOTED: Final = re.compile(r"\"[^\"]*\"|'[^']*'")
_ATTRIBUTE_START: Final = re.compile(r"[\s/\"][^\s/\"]")
_EMPTY_INLINE_TAG, _EMPTY_BLOCK_TAG = "wbr", "br"  # without content; the second one parts the words around it


def parse_html(html: str) -> LexborHTMLParser:
    """Parse a document or a fragment; broken HTML is fine."""
    if len(html) > _MIN_LONG_TAG:
        html = _LONG_TAG.sub(_limit_attributes, html)
    tags = html.count("<")
    if tags * len(html) > MAX_CLONED_CHARACTERS:
        longest = max(MIN_KEPT_TAG_LENGTH, MAX_CLONED_CHARACTERS // tags)
        html = _CLONED_TAG.sub(lambda tag: tag[0] if len(tag[0]) <= longest else f"{tag[1]}>", html)
    return LexborHTMLParser(html if tags < MIN_LIMITED_TAGS else _TAG.sub(_DepthLimit(tags).rename, html))


def _limit_attributes(tag: re.Match[str]) -> str:
    if len(_ATTRIBUTE_START.findall(_QUOTED.sub('""', tag[0]))) < MAX_ATTRIBUTES:
        return tag[0]
    return f"<{_EMPTY_INLINE_TAG} "


class _DepthLimit:
    """Renames the tags of elements that are nested too deep; Chromium stops nesting at 512."""

    def __init__(self, tags: int) -> None:
        self._max_depth = max(MIN_DEPTH, MAX_OPEN_ELEMENT_STEPS // tags)
        self._max_formatting = max(MIN_FORMATTING_DEPTH, MAX_REOPENED_ELEMENTS // tags)
        self._depth = 0
        self._formatting = 0

    def rename(self, tag: re.Match[str]) -> str:
        """The beginning of a tag; with another name if the element is over a limit."""
        name, step = tag[2].lower(), -1 if tag[1] else 1
        if name in OPTIONAL_END_ELEMENTS:
            return tag[0]
        if name in _FORMATTING:
            deepest = max(self._formatting, self._formatting + step)
            self._formatting = max(0, self._formatting + step)
            return tag[0] if deepest <= self._max_formatting else f"<{tag[1]}{_EMPTY_INLINE_TAG}"
        deepest = max(self._depth, self._depth + step)
        self._depth = max(0, self._depth + step)
        return tag[0] if deepest <= self._max_depth else f"<{tag[1]}{_EMPTY_BLOCK_TAG}"
