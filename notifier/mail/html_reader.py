"""The reader of HTML: tags, comments and texts with their places, as browsers find them (WHATWG HTML §13.2.5).

Joining the pieces gives the document again, byte for byte, so that a tag can be rewritten and the rest stays as it was.
`html_tree` builds a tree of elements where one is needed.
"""

import html
import re
from dataclasses import dataclass
from typing import Final, NamedTuple

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
_TAG: Final = re.compile(rf"<(?P<name>[a-zA-Z][^\s/>]*){_ATTRIBUTES}>")
_ATTRIBUTE: Final = re.compile(r"""(?P<name>[^\s/>][^\s/>=]*)(?:\s*=\s*(?P<value>"[^"]*"|'[^']*'|[^\s>"'][^\s>]*))?""")


class TagAttribute(NamedTuple):
    """An attribute as it is written."""

    name: str  # in lower case
    raw: str  # the value without its quotes, character references as they stand
    start: int  # place of the name in the markup
    end: int  # behind the value and its quotes
    value_start: int
    is_quoted: bool

    @property
    def value(self) -> str:
        """The value as a mail program reads it."""
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
    """Split a document into text, markup, text, …, text. A raw text element is one piece, from start tag to end tag."""
    return _MARKUP.split(text)


def read_start_tag(markup: str) -> StartTag | None:
    """Read the start tag that a piece of markup begins with; None for an end tag, a comment or a declaration."""
    tag = _TAG.match(markup)
    if tag is None:
        return None
    attributes = [_build_attribute(match) for match in _ATTRIBUTE.finditer(markup, tag.end("name"), tag.end() - 1)]
    return StartTag(tag["name"].lower(), attributes, tag.end("name"), tag.end())


def _build_attribute(match: re.Match[str]) -> TagAttribute:
    value = match["value"] or ""
    is_quoted = value[:1] in ("'", '"') and len(value) > 1
    raw = value[1:-1] if is_quoted else value
    return TagAttribute(
        match["name"].lower(), raw, match.start(), match.end(), match.start("value") + is_quoted, is_quoted
    )
