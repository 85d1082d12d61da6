"""Build the text part from a mail's HTML: every word that is visible on a desktop, in order, and each link's address.

The HTML is taken as it is sent, after styles were inlined, so that previews and mails have the same text. The walk has
its own stack, so that elements may be nested to any depth.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from selectolax.lexbor import LexborNode

from notifier.mail.html_reader import parse_html
from notifier.mail.limits import OutputTooLargeError, compute_text_limit
from notifier.mail.plain_text.computed_style import DISPLAY_OF_TAG, ROOT_STYLE, ComputedStyle, compute_style
from notifier.mail.plain_text.element_words import (
    BULLET,
    clean_address,
    format_list_marker,
    get_link_text,
    is_tracking_pixel,
    read_integer,
    read_replaced_words,
)
from notifier.mail.plain_text.line_layout import TextPosition, TextWriter
from notifier.mail.plain_text.style_cascade import StyleCascade, StyleLayers, get_cascaded_values

MAX_PROLOGUE: Final = 2_000  # characters before `<!DOCTYPE>`, such as a comment
HORIZONTAL_RULE: Final = "---"
QUOTE_PREFIX: Final = "> "
_SPACED_ELEMENTS: Final = frozenset(
    {"blockquote", "dl", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "p", "pre", "table", "xmp", "listing"}
)
"""Elements with a blank line before and behind."""
_LISTS: Final = frozenset({"ol", "ul", "menu"})
_INLINE: Final = frozenset({"inline", "contents"})
_INLINE_BLOCKS: Final = frozenset({"inline-block", "inline-table", "inline-flex", "inline-grid"})
_HIDING_ATTRIBUTES: Final = frozenset({"hidden", "popover"})
_HIDDEN_STYLE: Final = replace(ROOT_STYLE, is_visible=False)
_FILLERS: Final = "\u00a0\u034f\u00ad\u200b\u200c\u200d\u2007\ufeff \n\t\r"
"""What fills a preheader up, so that nothing else is shown behind it."""
_NO_POSITION: Final = TextPosition(0, 0)
_SUPERSCRIPTS: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def build_plain_text(html: str) -> str:
    """Write the text part of a mail that has only HTML, without wrapping lines. Raises `OutputTooLargeError`."""
    return _TextBuilder(html).build_text()


def has_hidden_start(html: str) -> bool:
    """Whether the first words of a mail are hidden: a preheader, which an inbox shows behind the subject."""
    part = _TextBuilder(html)
    with suppress(OutputTooLargeError):  # reported where the mail is rendered
        part.build_text()
    return bool(part.has_hidden_start)


def _has_readable_text(text: str) -> bool:
    return bool(text.strip(_FILLERS))


@dataclass(slots=True)
class _OpenElement:
    node: LexborNode
    tag: str
    style: ComputedStyle
    start: TextPosition = _NO_POSITION  # where its text begins, for links and cells
    is_cell: bool = False  # stands beside its neighbours, as long as they are short
    is_indented: bool = False
    is_apart: bool = False
    address: str = ""  # of a link
    has_image: bool = False
    next_number: int = 1  # of a list's next item
    kind: str = ""  # of its numbers
    cells: list[tuple[int, int]] | None = None  # the lines of each cell right in it


class _TextBuilder:
    def __init__(self, html: str) -> None:
        self.has_hidden_start: bool | None = None  # whether the first words are hidden; None: no words yet
        self._tree = parse_html(html)
        self._has_quirks = "<!doctype" not in html[:MAX_PROLOGUE].lower()
        self._cascade = StyleCascade(self._tree, html.count("<"))
        self._writer = TextWriter(compute_text_limit(html))
        self._open: list[_OpenElement] = []
        self._links: list[_OpenElement] = []
        self._lists: list[_OpenElement] = []
        self._styles: dict[tuple[str, StyleLayers, bool, int], ComputedStyle] = {}

    def build_text(self) -> str:
        node = self._tree.root
        while node is not None:
            if self._enter_node(node):
                if (child := node.first_child) is not None:
                    node = child
                    continue
                self._leave_element()
            while (following := node.next) is None and self._open:
                node = self._leave_element()
            node = following
        return self._writer.finish()

    @property
    def _style(self) -> ComputedStyle:
        return self._open[-1].style if self._open else ROOT_STYLE

    def _enter_node(self, node: LexborNode) -> bool:
        """Write the beginning of a node. Returns whether it is open now."""
        tag = node.tag or "-"
        if tag == "-text":
            self._write_text(node.text_content or "")
        if tag.startswith("-"):
            return False
        attributes = node.attributes
        style = self._compute_style(node, tag, attributes)
        if not style.is_rendered:
            if self.has_hidden_start is None and DISPLAY_OF_TAG.get(tag) != "none" and _has_readable_text(node.text()):
                self.has_hidden_start = True
            if tag == "area" and self._style.is_visible:
                self._write_area(attributes)
            return False
        if tag == "br":
            self._writer.break_line()
        elif tag in ("img", "input", "select", "hr"):
            self._write_replaced(node, tag, attributes, style)
        elif tag != "wbr":
            self._begin_element(node, tag, attributes, style)
            return True
        return False

    def _compute_style(self, node: LexborNode, tag: str, attributes: dict[str, str | None]) -> ComputedStyle:
        """The style of an element; cached, as most elements share theirs."""
        layers = self._cascade.get_layers(node, attributes.get("style") or "")
        is_hidden = bool(_HIDING_ATTRIBUTES & attributes.keys()) or (tag == "dialog" and "open" not in attributes)
        parent = self._style
        if tag == "table" and self._has_quirks:
            parent = (
                ROOT_STYLE if parent.is_visible else _HIDDEN_STYLE
            )  # in quirks mode a table inherits no font (HTML Standard §15.3.11)
        key = (tag, layers, is_hidden, id(parent))  # a style stays as long as this dictionary
        style = self._styles.get(key)
        if style is None:
            style = compute_style(tag, get_cascaded_values(layers), is_hidden=is_hidden, parent=parent)
            self._styles[key] = style
        return style

    def _write_text(self, text: str) -> None:
        style = self._style
        if self.has_hidden_start is None and _has_readable_text(text):
            self.has_hidden_start = not style.shows_text
        if not style.shows_text:
            return
        if style.white_space != "normal":
            self._writer.write_preformatted(text, collapse=style.white_space == "pre-line")
        else:
            if style.is_raised and text.strip().isdecimal() and self._writer.last_character.isdecimal():
                text = text.translate(_SUPERSCRIPTS)  # 10⁶ is not 106
            self._writer.write(text)

    def _begin_element(
        self, node: LexborNode, tag: str, attributes: dict[str, str | None], style: ComputedStyle
    ) -> None:
        element = _OpenElement(node, tag, style)
        self._begin_box(element)
        if tag in _LISTS:
            self._begin_list(element, attributes)
        elif style.display == "list-item":
            element.is_indented = self._begin_item(attributes, style)
        elif tag == "blockquote":
            element.is_indented = self._writer.indent(QUOTE_PREFIX)
        elif tag == "q" and style.shows_text:
            self._writer.write("“")
        if element.is_cell:
            element.start = self._writer.position
        if tag == "a" and (href := attributes.get("href") or attributes.get("xlink:href")):
            element.start = self._writer.position
            element.address = clean_address(href)
            self._links.append(element)
        self._open.append(element)

    def _begin_box(self, element: _OpenElement) -> None:
        display = element.style.display
        if display in _INLINE_BLOCKS:
            element.is_cell = DISPLAY_OF_TAG.get(element.tag) in ("block", "table")  # a column, not a button
            if not element.is_cell:
                self._writer.separate()
                return
        elif display == "table-cell" or (display not in _INLINE and self._style.is_row):
            element.is_cell = True
        if display in _INLINE:
            if element.style.has_side_space:
                self._writer.separate()
        else:
            element.is_apart = not element.is_cell and (
                element.tag in _SPACED_ELEMENTS or (element.tag in _LISTS and not self._lists)
            )
            if element.is_apart:
                self._writer.leave_space()
            else:
                self._writer.end_line()

    def _begin_list(self, element: _OpenElement, attributes: dict[str, str | None]) -> None:
        element.next_number = read_integer(attributes.get("start"), 1)
        element.kind = attributes.get("type") or ""
        self._lists.append(element)

    def _begin_item(self, attributes: dict[str, str | None], style: ComputedStyle) -> bool:
        parent = self._lists[-1] if self._lists else None
        number = parent.next_number if parent else 1
        marker = BULLET
        if parent is not None:
            number = read_integer(attributes.get("value"), number)
            parent.next_number = number + 1
            if parent.tag == "ol":
                marker = format_list_marker(number, style.marker or attributes.get("type") or parent.kind)
        if not style.has_marker:
            marker = ""
        return self._writer.indent(" " * len(marker), marker)

    def _leave_element(self) -> LexborNode:
        """Write the end of the innermost open element, and close it."""
        element = self._open.pop()
        if self._links and self._links[-1] is element:
            self._links.pop()
            self._end_link(element)
        if element.tag == "q" and element.style.shows_text:
            self._writer.write("”")
        if element.cells:
            self._writer.end_line()
            self._writer.join_row(element.cells)
        if element.is_indented:
            self._writer.outdent()
        if element.tag in _LISTS:
            self._lists.pop()
        self._end_box(element)
        return element.node

    def _end_box(self, element: _OpenElement) -> None:
        display = element.style.display
        if display in _INLINE:
            if element.style.has_side_space:
                self._writer.separate()
            return
        if element.is_cell:
            self._writer.end_line()
            if self._open:
                row = self._open[-1]
                row.cells = row.cells or []
                row.cells.append((element.start.line, len(self._writer.lines)))
        elif display in _INLINE_BLOCKS:
            self._writer.separate()
        elif element.is_apart:
            self._writer.leave_space()
        else:
            self._writer.end_line()

    def _end_link(self, link: _OpenElement) -> None:
        """Write the address behind the words, or instead of them if they are the address."""
        words = self._writer.get_text_since(link.start)
        if not link.address:
            return
        if words is None:
            self._writer.append_to_last(f" <{link.address}>")
        elif not words.strip():
            if link.has_image:
                self._write_box(f"<{link.address}>")
        elif (text := get_link_text(words.strip(), link.address)) is not None:
            self._writer.replace_since(link.start, text)
            self._writer.separate()
        elif link.address not in words.split():
            self._writer.append_to_last(f" <{link.address}>")

    def _write_replaced(
        self, node: LexborNode, tag: str, attributes: dict[str, str | None], style: ComputedStyle
    ) -> None:
        """Write the words for an image, a rule or a form control."""
        if not style.is_visible:
            return
        if tag == "hr":
            self._writer.leave_space()
            self._writer.write(HORIZONTAL_RULE)
            self._writer.leave_space()
        elif tag != "img" or not is_tracking_pixel(attributes):
            if tag == "img" and self._links:
                self._links[-1].has_image = True
            for words in read_replaced_words(node, tag, attributes):
                self._write_box(words)

    def _write_box(self, words: str) -> None:
        """Write words that have a box of their own."""
        if words.strip():
            self._writer.separate()
            self._writer.write(words.strip())
            self._writer.separate()

    def _write_area(self, attributes: dict[str, str | None]) -> None:
        """Write a linked area of an image map."""
        if address := clean_address(attributes.get("href") or ""):
            self._write_box(f"{attributes.get('alt') or ''} <{address}>")
