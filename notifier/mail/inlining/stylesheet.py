"""The `<style>` elements of a mail as rules that can be moved and rules that stay, and the text of what is left."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate, count, groupby
from typing import Any, Final

import tinycss2

from notifier.mail.css_parser import (
    CssSelector,
    Specificity,
    StyleDeclaration,
    get_property_group,
    has_deep_brackets,
    parse_selectors,
    read_declarations,
    serialize_css,
    write_declarations,
)

_CONDITIONS: Final = frozenset({"media", "supports", "container", "starting-style", "-moz-document"})
_BLOCKING_AT_RULES: Final = frozenset({"layer", "scope", "namespace"})
"""They change how all rules, or all selectors, are read: nothing of such a mail is moved."""

StyleProfile = frozenset[tuple[str, bool]]
"""The groups of properties that a `style` attribute touches, and whether with importance."""


@dataclass(frozen=True, slots=True, eq=False)
class CssRule:
    """One selector with its declarations; a rule with several selectors becomes several of these."""

    selector: CssSelector
    declarations: tuple[StyleDeclaration, ...]
    rank: tuple[Specificity, int]  # specificity, then order (CSS Cascading §6): the higher one wins
    can_move: bool  # it applies to every reader and to known elements
    place: tuple[int, int]  # which `<style>` it stands in, from 0, and where
    groups: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class _RuleBlock:
    """A rule as written, with all its selectors."""

    text: str
    rules: tuple[CssRule, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _ConditionalBlock:
    """A rule such as `@media`, with its content."""

    text: str
    prelude: str
    nodes: tuple["StylesheetNode", ...]


StylesheetNode = str | _RuleBlock | _ConditionalBlock
DeclarationFilter = Callable[[CssRule], tuple[StyleDeclaration, ...]]
"""What is left of a rule in its `<style>`."""


@dataclass(kw_only=True)
class Stylesheet:
    """All the `<style>` elements of a mail."""

    elements: list[tuple["StylesheetNode", ...]] = field(default_factory=list)
    rules: list[CssRule] = field(default_factory=list)
    frozen: set[str] = field(default_factory=set)  # groups with declarations in rules that are not understood
    unread: list[tuple[str, tuple[int, int]]] = field(default_factory=list)  # rules that are not understood
    obstacle: str = ""  # why nothing can be moved at all

    @cached_property
    def has_movable(self) -> bool:
        """Whether any rule can be moved."""
        return not self.obstacle and any(rule.can_move for rule in self.rules)

    @cached_property
    def reads_styles(self) -> bool:
        """Whether a selector depends on `style` attributes."""
        return any("style" in rule.selector.attributes for rule in self.rules)

    @cached_property
    def attributes(self) -> frozenset[str]:
        """The attributes that movable rules ask for, besides class and id."""
        return frozenset(name for rule in self.rules if rule.can_move for name in rule.selector.attributes)


@lru_cache(maxsize=64)
def parse_stylesheet(styles: tuple[tuple[str, bool], ...]) -> Stylesheet:
    """Parse all the elements; each is a text, and whether it applies to every reader."""
    sheet = Stylesheet()
    order = count()
    if any(has_deep_brackets(css) for css, _ in styles):
        sheet.obstacle = "brackets stand too deep within one another"
        sheet.elements += [()] * len(styles)
        return sheet
    for css, is_for_all in styles:
        reader = _StylesheetReader(sheet, css, order, is_for_all=is_for_all)
        nodes = tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True)
        sheet.elements.append(tuple(reader.read(nodes)))
    if any(rule.selector.is_upset for rule in sheet.rules):
        sheet.obstacle = "a rule asks for the style attribute"
    elif "all" in sheet.frozen:
        sheet.obstacle = "a rule sets all properties at once"
    return sheet


class _StylesheetReader:
    def __init__(self, sheet: Stylesheet, css: str, order: Iterator[int], *, is_for_all: bool) -> None:
        self._sheet = sheet
        self._order = order
        self._is_for_all = is_for_all
        self._has_rules = False  # an @import that comes after a rule is ignored
        self._line_starts = [0, *accumulate(len(line) + 1 for line in css.split("\n"))]

    def read(self, nodes: Sequence[Any], *, is_inner: bool = False) -> Iterator[StylesheetNode]:
        for node in nodes:
            if node.type == "qualified-rule":
                self._has_rules = True
                yield self._read_rule(node, is_inner=is_inner)
            elif node.type == "at-rule" and not (self._has_rules and node.lower_at_keyword == "import"):
                self._has_rules |= node.lower_at_keyword not in ("charset", "import")
                yield self._read_at_rule(node)

    def _read_at_rule(self, node: Any) -> StylesheetNode:
        keyword, text = node.lower_at_keyword, serialize_css([node])
        if keyword in _BLOCKING_AT_RULES:
            self._sheet.obstacle = f"there is an @{keyword}"
        if keyword in _CONDITIONS and node.content is not None:
            inner = tinycss2.parse_rule_list(node.content, skip_comments=True, skip_whitespace=True)
            prelude = f"@{node.at_keyword}{serialize_css(node.prelude)}"
            return _ConditionalBlock(text, prelude, tuple(self.read(inner, is_inner=True)))
        if keyword.endswith("keyframes") and node.content is not None:
            self._sheet.frozen |= _collect_groups(node.content)
        return text

    def _read_rule(self, node: Any, *, is_inner: bool) -> _RuleBlock:
        text = serialize_css([node])
        place = (len(self._sheet.elements), self._line_starts[node.source_line - 1] + node.source_column - 1)
        selectors = parse_selectors(node.prelude)
        declarations, is_nested = read_declarations(node.content)
        is_for_all = self._is_for_all and not is_inner
        if selectors is None or is_nested:
            self._sheet.frozen |= _collect_groups(node.content)
            if is_for_all:
                self._sheet.unread.append((serialize_css(node.prelude).strip(), place))
            return _RuleBlock(text, ())
        groups = frozenset(declaration.group for declaration in declarations)
        if "all" in groups:
            self._sheet.frozen.add("all")
        order = next(self._order)
        rules = tuple(
            CssRule(
                selector=selector,
                declarations=declarations,
                rank=(selector.specificity, order),
                can_move=is_for_all and selector.is_static,
                place=place,
                groups=groups,
            )
            for selector in selectors
        )
        self._sheet.rules += rules
        return _RuleBlock(text, rules)


@lru_cache(maxsize=1024)
def read_profile(own_style: str) -> StyleProfile:
    """Read which groups of properties a `style` attribute touches."""
    declarations = read_declarations(own_style)[0] if own_style else ()
    return frozenset((declaration.group, declaration.is_important) for declaration in declarations)


def _collect_groups(content: list[Any]) -> set[str]:
    """The groups of all declarations, also those of nested rules."""
    groups = set()
    for node in tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True):
        if node.type == "declaration":
            groups.add(get_property_group(node.name if node.name.startswith("--") else node.lower_name))
        elif node.type in ("qualified-rule", "at-rule") and node.content is not None:
            groups |= _collect_groups(node.content)
    return groups


def write_stylesheet(nodes: Sequence[StylesheetNode], keep: DeclarationFilter) -> str:
    """Write what is left of an element; unchanged rules are written as they were."""
    return "\n".join(filter(None, (_write_node(node, keep) for node in nodes)))


def _write_node(node: StylesheetNode, keep: DeclarationFilter) -> str:
    if isinstance(node, str):
        return node
    if isinstance(node, _ConditionalBlock):
        inner = write_stylesheet(node.nodes, keep)
        is_unchanged = inner == write_stylesheet(node.nodes, lambda rule: rule.declarations)
        return node.text if is_unchanged else f"{node.prelude}{{{inner}}}"
    if all(keep(rule) == rule.declarations for rule in node.rules):
        return node.text
    return "\n".join(
        f"{','.join(rule.selector.text for rule in rules)}{{{write_declarations(declarations)}}}"
        for declarations, rules in groupby(node.rules, keep)
        if declarations
    )
