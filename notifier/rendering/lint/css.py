"""The CSS of an HTML part with places: that of `<style>` elements and that of `style` attributes.

Rules inside `@media` and `@supports` are left out: they are an enhancement for clients that know them.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final

import tinycss2

from notifier.rendering.lint.document import Document, Element

_TOKENS_WITH_CONTENT: Final = frozenset({"function", "() block", "[] block", "{} block"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Declaration:
    """A CSS property with its value."""

    name: str  # in lower case
    value: str  # as written
    tokens: tuple[Any, ...]  # of the value, nested ones too
    offset: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A selector and its declarations."""

    selector: str  # empty for a `style` attribute
    declarations: tuple[Declaration, ...]
    offset: int
    element: Element | None = None  # for a `style` attribute


@dataclass(frozen=True, kw_only=True, slots=True)
class AtRule:
    """A rule such as `@import`."""

    keyword: str  # in lower case, without the @
    offset: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """All the CSS of a part; offsets count from the beginning of the part."""

    blocks: tuple[Block, ...]
    at_rules: tuple[AtRule, ...]


def sheet_of(document: Document) -> Sheet:
    """Parse the CSS of a document's `<style>` elements and `style` attributes."""
    blocks: list[Block] = []
    at_rules: list[AtRule] = []
    for text in document.texts:
        if text.parent and text.parent.name == "style":
            style_blocks, at = _stylesheet(text.raw)
            blocks += [_moved(block, text.offset) for block in style_blocks]
            at_rules += [AtRule(keyword=rule.keyword, offset=rule.offset + text.offset) for rule in at]
    for element in document.elements:
        style = element.attribute("style")
        if style and style.raw:
            declarations = _attribute(style.value)
            block = Block(selector="", declarations=declarations, offset=0, element=element)
            blocks.append(_moved(block, style.value_offset, inside=style.raw == style.value))
    return Sheet(blocks=tuple(blocks), at_rules=tuple(at_rules))


def _moved(block: Block, by: int, *, inside: bool = True) -> Block:
    """The block with offsets in the part; without `inside` all offsets are `by`."""
    declarations = tuple(
        Declaration(
            name=declaration.name,
            value=declaration.value,
            tokens=declaration.tokens,
            offset=by + (declaration.offset if inside else 0),
        )
        for declaration in block.declarations
    )
    offset = by + block.offset
    return Block(selector=block.selector, declarations=declarations, offset=offset, element=block.element)


@lru_cache(maxsize=64)
def _stylesheet(css: str) -> tuple[tuple[Block, ...], tuple[AtRule, ...]]:
    starts = _line_starts(css)
    blocks, at_rules = [], []
    for node in tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True):
        if node.type == "at-rule":
            at_rules.append(AtRule(keyword=node.lower_at_keyword, offset=_offset(starts, node)))
        elif node.type == "qualified-rule":
            declarations = _declarations(tinycss2.parse_blocks_contents(node.content), starts)
            selector = tinycss2.serialize(node.prelude).strip()
            blocks.append(Block(selector=selector, declarations=declarations, offset=_offset(starts, node)))
    return tuple(blocks), tuple(at_rules)


@lru_cache(maxsize=1024)
def _attribute(css: str) -> tuple[Declaration, ...]:
    return _declarations(tinycss2.parse_blocks_contents(css), _line_starts(css))


def _declarations(nodes: list[Any], starts: list[int]) -> tuple[Declaration, ...]:
    return tuple(
        Declaration(
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
