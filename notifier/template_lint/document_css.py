"""The CSS of an HTML part with places: that of `<style>` elements and that of `style` attributes.

Rules inside `@media` and `@supports` are left out: they are an enhancement for clients that know them.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final

import tinycss2

from notifier.template_lint.html_document import HtmlDocument, HtmlElement

_TOKENS_WITH_CONTENT: Final = frozenset({"function", "() block", "[] block", "{} block"})


@dataclass(frozen=True, kw_only=True, slots=True)
class CssDeclaration:
    """A CSS property with its value."""

    name: str  # in lower case
    value: str  # as written
    tokens: tuple[Any, ...]  # of the value, nested ones too
    offset: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CssBlock:
    """A selector and its declarations."""

    selector: str  # empty for a `style` attribute
    declarations: tuple[CssDeclaration, ...]
    offset: int
    element: HtmlElement | None = None  # for a `style` attribute


@dataclass(frozen=True, kw_only=True, slots=True)
class CssAtRule:
    """A rule such as `@import`."""

    keyword: str  # in lower case, without the @
    offset: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentCss:
    """All the CSS of a part; offsets count from the beginning of the part."""

    blocks: tuple[CssBlock, ...]
    at_rules: tuple[CssAtRule, ...]


def parse_css(document: HtmlDocument) -> DocumentCss:
    """Parse the CSS of a document's `<style>` elements and `style` attributes."""
    blocks: list[CssBlock] = []
    at_rules: list[CssAtRule] = []
    for text in document.texts:
        if text.parent and text.parent.name == "style":
            style_blocks, at = _stylesheet(text.raw)
            blocks += [_move(block, text.offset) for block in style_blocks]
            at_rules += [replace(rule, offset=rule.offset + text.offset) for rule in at]
    for element in document.elements:
        style = element.get_attribute("style")
        if style and style.raw:
            declarations = _attribute(style.value)
            block = CssBlock(selector="", declarations=declarations, offset=0, element=element)
            blocks.append(_move(block, style.value_offset, inside=style.raw == style.value))
    return DocumentCss(blocks=tuple(blocks), at_rules=tuple(at_rules))


def _move(block: CssBlock, offset: int, *, inside: bool = True) -> CssBlock:
    """The block with offsets in the part; without `inside` all its declarations are at `offset`."""
    declarations = tuple(
        replace(declaration, offset=offset + declaration.offset * inside) for declaration in block.declarations
    )
    return replace(block, declarations=declarations, offset=offset + block.offset)


@lru_cache(maxsize=64)
def _stylesheet(css: str) -> tuple[tuple[CssBlock, ...], tuple[CssAtRule, ...]]:
    starts = _line_starts(css)
    blocks, at_rules = [], []
    for node in tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True):
        if node.type == "at-rule":
            at_rules.append(CssAtRule(keyword=node.lower_at_keyword, offset=_offset(starts, node)))
        elif node.type == "qualified-rule":
            declarations = _declarations(tinycss2.parse_blocks_contents(node.content), starts)
            selector = tinycss2.serialize(node.prelude).strip()
            blocks.append(CssBlock(selector=selector, declarations=declarations, offset=_offset(starts, node)))
    return tuple(blocks), tuple(at_rules)


@lru_cache(maxsize=1024)
def _attribute(css: str) -> tuple[CssDeclaration, ...]:
    return _declarations(tinycss2.parse_blocks_contents(css), _line_starts(css))


def _declarations(nodes: list[Any], starts: list[int]) -> tuple[CssDeclaration, ...]:
    return tuple(
        CssDeclaration(
            name=node.lower_name,
            value=tinycss2.serialize(node.value).strip(),
            tokens=tuple(_flat(node.value)),
            offset=_offset(starts, node),
        )
        for node in nodes
        if node.type == "declaration"
    )


def _flat(tokens: list[Any]) -> list[Any]:
    flat = [*tokens]
    for token in flat:  # the list grows in the loop
        if token.type in _TOKENS_WITH_CONTENT:
            flat += token.arguments if token.type == "function" else token.content
    return [token for token in flat if token.type not in ("whitespace", "comment")]


def _line_starts(text: str) -> list[int]:
    return [0, *accumulate(len(line) + 1 for line in text.split("\n"))]


def _offset(starts: list[int], node: Any) -> int:
    line, column = int(node.source_line), int(node.source_column)
    return starts[line - 1] + column - 1
