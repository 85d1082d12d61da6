"""Parse a rendered HTML part into elements and texts with offsets, and find faults of its tags.

The parser reads as browsers do (WHATWG HTML §13.2.5), in one pass. It never fails: broken tags are listed as problems.
Comments are skipped, also conditional ones for Outlook.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import Final

from notifier.mail.html_reader import RAW_TEXT_ELEMENTS, VOID_ELEMENTS

MAX_DEPTH: Final = 500
"""Depth of nested elements; browsers have about the same limit."""
_PARAGRAPH_ENDS: Final = frozenset(
    {
        "address", "article", "aside", "blockquote", "center", "div", "dl", "fieldset", "footer", "form", "h1", "h2",
        "h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "table", "ul",
    }
)  # fmt: skip
_CELL: Final = frozenset({"p", "li", "dt", "dd", "td", "th"})
_ROW: Final = _CELL | {"tr", "caption", "colgroup"}
_SECTIONS: Final = dict.fromkeys(("tbody", "thead", "tfoot"), _ROW | {"tbody", "thead", "tfoot"})
_ENDS: Final[dict[str, frozenset[str]]] = {
    **dict.fromkeys(_PARAGRAPH_ENDS, frozenset({"p"})),
    **_SECTIONS,
    "tr": _ROW,
    "td": _CELL,
    "th": _CELL,
    "li": frozenset({"p", "li"}),
    "dt": frozenset({"p", "dt", "dd"}),
    "dd": frozenset({"p", "dt", "dd"}),
    "option": frozenset({"option"}),
    "optgroup": frozenset({"option", "optgroup"}),
    "body": frozenset({"head"}),
}
"""Opening tag → the open elements that it closes implicitly."""
_MAY_STAY_OPEN: Final = _ROW | {"html", "head", "body", "tbody", "thead", "tfoot", "option", "optgroup"}
_CLOSE_ACROSS_CELLS: Final = frozenset(
    {"html", "head", "body", "table", "tbody", "thead", "tfoot", "tr", "td", "th", "caption"}
)
_CELL_EDGES: Final = frozenset({"td", "th", "table"})

_MARKUP_START = re.compile(r"<(?:[A-Za-z!?]|/[A-Za-z])")
"""A “<” before anything else is text."""
_NAME = re.compile(r"[A-Za-z][^\s/>]*")
_ATTRIBUTE_PATTERN = re.compile(r"""[\s/]*(?P<name>[^\s/>][^\s/>=]*)(?:\s*=\s*(?P<value>"|'|[^\s>]*))?""")
_TAG_END = re.compile(r"[\s/]*>")


class TagFlaw(StrEnum):
    """The kinds of faults of tags."""

    UNCLOSED = "unclosed"
    STRAY = "stray"
    NESTING = "nesting"
    DEEP = "deep"  # the rest of the part is not read
    BROKEN = "broken"  # a “>” or a quotation mark is missing


@dataclass(frozen=True, kw_only=True, slots=True)
class HtmlAttribute:
    """An attribute as written."""

    name: str  # in lower case
    raw: str  # the value without its quotes, with character references
    offset: int  # of the name
    value_offset: int
    quoted: bool

    @property
    def value(self) -> str:
        """The value with character references decoded."""
        return html.unescape(self.raw)


@dataclass(frozen=True, kw_only=True, slots=True)
class HtmlElement:
    """An opening tag with its parent element."""

    name: str  # in lower case
    attributes: list[HtmlAttribute]
    offset: int
    parent: "HtmlElement | None"

    def get_attribute(self, name: str) -> HtmlAttribute | None:
        """The first attribute of that name; clients ignore the others."""
        return next((attribute for attribute in self.attributes if attribute.name == name), None)

    def get_value(self, name: str) -> str:
        """An attribute's value, or an empty text."""
        attribute = self.get_attribute(name)
        return attribute.value if attribute else ""

    def walk_outward(self) -> Iterator["HtmlElement"]:
        """The element itself and its ancestors, from the inside out."""
        element: HtmlElement | None = self
        while element:
            yield element
            element = element.parent


@dataclass(frozen=True, kw_only=True, slots=True)
class HtmlText:
    """A run of text."""

    raw: str
    offset: int
    parent: HtmlElement | None

    @property
    def unescaped(self) -> str:
        """The text with character references decoded."""
        return html.unescape(self.raw)


@dataclass(frozen=True, kw_only=True, slots=True)
class TagProblem:
    """A flaw of a tag."""

    flaw: TagFlaw
    name: str  # of the element, or of the attribute
    offset: int


@dataclass(kw_only=True)
class HtmlDocument:
    """A parsed HTML part."""

    elements: list[HtmlElement] = field(default_factory=list)
    texts: list[HtmlText] = field(default_factory=list)
    problems: list[TagProblem] = field(default_factory=list)

    def list_elements(self, *names: str) -> list[HtmlElement]:
        """The elements with one of these names."""
        return [element for element in self.elements if element.name in names]


def parse_document(text: str) -> HtmlDocument:
    """Parse an HTML part; never fails."""
    return _DocumentParser(text).parsed()


class _DocumentParser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._document = HtmlDocument()
        self._open: list[HtmlElement] = []
        self._left_open: dict[str, list[HtmlElement]] = {}  # ended by the closing tag of an ancestor

    def parsed(self) -> HtmlDocument:
        while self._at < len(self._text):
            markup = _MARKUP_START.search(self._text, self._at)
            self._take_text(markup.start() if markup else len(self._text))
            if markup:
                self._take_markup()
        unclosed = chain.from_iterable(self._left_open.values())
        for element in sorted((*unclosed, *self._open), key=lambda element: element.offset):
            if element.name not in _MAY_STAY_OPEN:
                self._flaw(TagFlaw.UNCLOSED, element.name, element.offset)
        return self._document

    def _flaw(self, flaw: TagFlaw, name: str, offset: int) -> None:
        self._document.problems.append(TagProblem(flaw=flaw, name=name, offset=offset))

    def _take_text(self, end: int) -> None:
        if end > self._at:
            parent = self._open[-1] if self._open else None
            self._document.texts.append(HtmlText(raw=self._text[self._at : end], offset=self._at, parent=parent))
        self._at = end

    def _take_markup(self) -> None:
        start = self._at
        if self._text.startswith("<!--", start):
            self._skip_comment(start)
        elif self._text.startswith(("<!", "<?"), start):
            end = self._text.find(">", start)
            self._at = end + 1 if end >= 0 else len(self._text)
        elif name := _NAME.match(self._text, start + 1):
            self._take_opening(start, name)
        elif name := _NAME.match(self._text, start + 2):
            self._at = name.end()
            self._take_attributes(start)
            self._close(name[0].lower(), start)

    def _skip_comment(self, start: int) -> None:
        end = self._text.find("-->", start + 2)
        if end < 0:
            self._flaw(TagFlaw.UNCLOSED, "!--", start)
        self._at = end + 3 if end >= 0 else len(self._text)

    def _take_opening(self, start: int, name_match: re.Match[str]) -> None:
        name = name_match[0].lower()
        self._at = name_match.end()
        attributes = self._take_attributes(start)
        ended = _ENDS.get(name, frozenset())
        while self._open and self._open[-1].name in ended:
            self._open.pop()
        parent = self._open[-1] if self._open else None
        element = HtmlElement(name=name, attributes=attributes, offset=start, parent=parent)
        self._document.elements.append(element)
        foreign = ":" in name or any(ancestor.name in ("svg", "math") for ancestor in element.walk_outward())
        if name in VOID_ELEMENTS or (foreign and self._text.endswith("/>", 0, self._at)):
            return
        self._open.append(element)
        if name in RAW_TEXT_ELEMENTS:
            self._take_raw(name)
        if len(self._open) > MAX_DEPTH:
            self._flaw(TagFlaw.DEEP, name, start)
            self._open.clear()
            self._at = len(self._text)

    def _take_raw(self, name: str) -> None:
        closing = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(self._text, self._at)
        self._take_text(closing.start() if closing else len(self._text))

    def _take_attributes(self, start: int) -> list[HtmlAttribute]:
        """Read up to the end of a tag; a tag that does not end swallows the rest of the text."""
        attributes: list[HtmlAttribute] = []
        while not (end := _TAG_END.match(self._text, self._at)):
            attribute = _ATTRIBUTE_PATTERN.match(self._text, self._at)
            if attribute is None or (value := self._value(attribute)) is None:
                self._flaw(TagFlaw.BROKEN, "", start)
                self._at = len(self._text)
                return attributes
            raw, value_offset, quoted = value
            name, offset = attribute["name"].lower(), attribute.start("name")
            attributes.append(
                HtmlAttribute(name=name, raw=raw, offset=offset, value_offset=value_offset, quoted=quoted)
            )
            if any(sign in name for sign in "\"'<"):
                self._flaw(TagFlaw.BROKEN, name, offset)
        self._at = end.end()
        return attributes

    def _value(self, attribute: re.Match[str]) -> tuple[str, int, bool] | None:
        """The value's text, its offset, and whether it is quoted; None if the closing quotation mark is missing."""
        raw, start = attribute["value"] or "", attribute.start("value")
        self._at = attribute.end()
        if raw not in ('"', "'"):
            return raw, start if raw else attribute.start("name"), attribute["value"] is None
        end = self._text.find(raw, start + 1)
        if end < 0:
            return None
        self._at = end + 1
        return self._text[start + 1 : end], start + 1, True

    def _close(self, name: str, offset: int) -> None:
        place = self._place_of(name)
        if place is not None:
            for element in self._open[place + 1 :]:
                self._left_open.setdefault(element.name, []).append(element)
            del self._open[place:]
        elif name not in _MAY_STAY_OPEN and self._left_open.get(name):
            self._left_open[name].pop()
            self._flaw(TagFlaw.NESTING, name, offset)
        else:
            self._flaw(TagFlaw.STRAY, name, offset)

    def _place_of(self, name: str) -> int | None:
        """The index of the open element that a closing tag closes."""
        for place in range(len(self._open) - 1, -1, -1):
            if self._open[place].name == name:
                return place
            if self._open[place].name in _CELL_EDGES and name not in _CLOSE_ACROSS_CELLS:
                return None
        return None
