"""The `<style>` elements of a mail as rules that can be moved and rules that stay, and the text of what is left.

What decides between two declarations is kept in one number each (CSS Cascading §6): so it can be compared and no more.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate, count, groupby
from typing import Any, Final

import tinycss2

from notifier.mail.inlining.css_selector import CssSelector, parse_selectors

_CONDITIONS: Final = frozenset({"media", "supports", "container", "starting-style", "-moz-document"})
_BLOCKING_AT_RULES: Final = frozenset({"layer", "scope", "namespace"})
"""They change how all rules, or all selectors, are read: nothing of such a mail is moved."""
_GROUPS: Final[dict[str, frozenset[str]]] = {
    "font": frozenset({"line-height"}),
    "size": frozenset({"width", "height", "inline-size", "block-size", "aspect-ratio"}),
    "limit": frozenset({"min-width", "min-height", "max-width", "max-height"}),
    "inset": frozenset({"top", "right", "bottom", "left"}),
    "wrap": frozenset({"white-space", "white-space-collapse", "overflow-wrap", "word-wrap", "text-wrap"}),
    "grid": frozenset({"gap", "row-gap", "column-gap", "columns", "column-width", "column-count"}),
    "align": frozenset({"align-content", "align-items", "align-self", "justify-content", "justify-items"}),
    "break": frozenset({"page-break-after", "page-break-before", "page-break-inside"}),
    "scheme": frozenset({"color-scheme", "supported-color-schemes"}),
    "baseline": frozenset({"vertical-align", "alignment-baseline", "baseline-shift", "baseline-source"}),
}
_GROUP_OF: Final = {name: group for group, names in _GROUPS.items() for name in names}
_PREFIXES: Final = {
    "text-wrap": "wrap", "text-decoration": "text-decoration", "min": "limit", "max": "limit", "column": "grid",
    "justify": "align", "place": "align", "page": "break",
}  # fmt: skip
_MAX_BRACKET_DEPTH: Final = 50
_BRACKET = re.compile(r"[][(){}]")
_VENDOR = re.compile(r"-(?:webkit|moz|ms|o)-")


def get_property_group(name: str) -> str:
    """What a property belongs to: two in different groups never say anything about the same thing."""
    if name.startswith("--"):
        return name
    name = _VENDOR.sub("", name, count=1) if name.startswith("-") else name
    if name in _GROUP_OF:
        return _GROUP_OF[name]
    first, _, rest = name.partition("-")
    if first == "text":
        first = f"text-{rest.partition('-')[0]}"
    return _PREFIXES.get(first, first)


StyleProfile = frozenset[tuple[str, bool]]
"""The groups that a `style` attribute touches, and whether with importance."""


@dataclass(frozen=True, slots=True)
class StyleDeclaration:
    """One property with its value."""

    name: str
    value: str  # as written, without !important
    is_important: bool
    group: str


@dataclass(frozen=True, slots=True, eq=False)
class CssRule:
    """One selector with its declarations; a rule with several is as many of these."""

    selector: CssSelector
    declarations: tuple[StyleDeclaration, ...]
    rank: tuple[tuple[int, int, int], int]  # specificity, then order
    can_move: bool  # it applies to everybody, to elements that are known
    place: tuple[int, int]  # which `<style>` it stands in, from 0, and where
    groups: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class _RuleBlock:
    """A rule as it is written, with all its selectors."""

    text: str
    rules: tuple[CssRule, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _ConditionalBlock:
    """A rule such as `@media`, and what stands in it."""

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
    frozen: set[str] = field(default_factory=set)  # groups that are touched by something that is not understood
    unread: list[tuple[str, tuple[int, int]]] = field(default_factory=list)  # rules that are not, and their places
    obstacle: str = ""  # why nothing can be moved at all

    @cached_property
    def has_movable(self) -> bool:
        """Whether there is anything to move."""
        return not self.obstacle and any(rule.can_move for rule in self.rules)

    @cached_property
    def reads_styles(self) -> bool:
        """Whether a rule asks for style attributes as they were written."""
        return any("style" in rule.selector.attributes for rule in self.rules)

    @cached_property
    def attributes(self) -> frozenset[str]:
        """The attributes that rules which can move ask for, besides class and id."""
        return frozenset(name for rule in self.rules if rule.can_move for name in rule.selector.attributes)


@lru_cache(maxsize=64)
def parse_stylesheet(styles: tuple[tuple[str, bool], ...]) -> Stylesheet:
    """The rules of all the elements, each a text and whether it applies to everybody."""
    sheet = Stylesheet()
    order = count()
    if any(has_deep_brackets(css) for css, _ in styles):
        sheet.obstacle = "brackets stand too deep within one another"
        sheet.elements += [()] * len(styles)
        return sheet
    for css, is_for_all in styles:
        reader = _StylesheetReader(sheet, css, order, is_for_all=is_for_all)
        sheet.elements.append(
            tuple(reader.read(tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True)))
        )
    if any(rule.selector.is_upset for rule in sheet.rules):
        sheet.obstacle = "a rule asks for the style attribute"
    elif "all" in sheet.frozen:
        sheet.obstacle = "a rule sets all properties at once"
    return sheet


def has_deep_brackets(css: str) -> bool:
    """Whether so many brackets are open at once that the CSS library gives up."""
    depth = deepest = 0
    for sign in _BRACKET.findall(css):
        depth += 1 if sign in "([{" else -1
        deepest = max(depth, deepest)
    return deepest > _MAX_BRACKET_DEPTH


class _StylesheetReader:
    """Reads one element."""

    def __init__(self, sheet: Stylesheet, css: str, order: Iterator[int], *, is_for_all: bool) -> None:
        self._sheet = sheet
        self._order = order
        self._is_for_all = is_for_all
        self._is_begun = False  # an @import that comes later is ignored
        self._line_starts = [0, *accumulate(len(line) + 1 for line in css.split("\n"))]

    def read(self, nodes: Sequence[Any], *, is_inner: bool = False) -> Iterator[StylesheetNode]:
        for node in nodes:
            if node.type == "qualified-rule":
                self._is_begun = True
                yield self._block(node, is_inner=is_inner)
            elif node.type == "at-rule" and not (self._is_begun and node.lower_at_keyword == "import"):
                self._is_begun |= node.lower_at_keyword not in ("charset", "import")
                yield self._at_rule(node)

    def _at_rule(self, node: Any) -> StylesheetNode:
        keyword, text = node.lower_at_keyword, _serialize_nodes([node])
        if keyword in _BLOCKING_AT_RULES:
            self._sheet.obstacle = f"there is an @{keyword}"
        if keyword in _CONDITIONS and node.content is not None:
            inner = tinycss2.parse_rule_list(node.content, skip_comments=True, skip_whitespace=True)
            return _ConditionalBlock(
                text, f"@{node.at_keyword}{_serialize_nodes(node.prelude)}", tuple(self.read(inner, is_inner=True))
            )
        if keyword.endswith("keyframes") and node.content is not None:
            self._sheet.frozen |= _collect_groups(node.content)
        return text

    def _block(self, node: Any, *, is_inner: bool) -> _RuleBlock:
        text = _serialize_nodes([node])
        place = (len(self._sheet.elements), self._line_starts[node.source_line - 1] + node.source_column - 1)
        selectors = parse_selectors(node.prelude)
        declarations, is_nested = read_declarations(node.content)
        is_for_all = self._is_for_all and not is_inner
        if selectors is None or is_nested:
            self._sheet.frozen |= _collect_groups(node.content)
            if is_for_all:
                self._sheet.unread.append((_serialize_nodes(node.prelude).strip(), place))
            return _RuleBlock(text, ())
        groups = frozenset(one.group for one in declarations)
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


def read_declarations(content: Any) -> tuple[tuple[StyleDeclaration, ...], bool]:
    """The declarations of a rule or a `style` attribute, and whether there are rules among them."""
    nodes = tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True)
    declarations = []
    for node in nodes:
        if node.type == "declaration":
            name = node.name if node.name.startswith("--") else node.lower_name
            value = _serialize_nodes(node.value).strip()
            declarations.append(StyleDeclaration(name, value, node.important, get_property_group(name)))
    return tuple(declarations), any(node.type in ("qualified-rule", "at-rule") for node in nodes)


@lru_cache(maxsize=1024)
def read_profile(own: str) -> StyleProfile:
    """The groups that a `style` attribute touches."""
    return frozenset((one.group, one.is_important) for one in read_declarations(own)[0]) if own else frozenset()


def _collect_groups(content: list[Any]) -> set[str]:
    """The groups of all declarations, those of inner rules too."""
    groups = set()
    for node in tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True):
        if node.type == "declaration":
            groups.add(get_property_group(node.name if node.name.startswith("--") else node.lower_name))
        elif node.type in ("qualified-rule", "at-rule") and node.content is not None:
            groups |= _collect_groups(node.content)
    return groups


def write_stylesheet(nodes: Sequence[StylesheetNode], keep: DeclarationFilter) -> str:
    """The text of what is left of an element; what does not change is written as it was."""
    return "\n".join(filter(None, (_write_node(node, keep) for node in nodes)))


def _write_node(node: StylesheetNode, keep: DeclarationFilter) -> str:
    if isinstance(node, str):
        return node
    if isinstance(node, _ConditionalBlock):
        inner = write_stylesheet(node.nodes, keep)
        return (
            node.text
            if inner == write_stylesheet(node.nodes, lambda rule: rule.declarations)
            else _write_block(node.prelude, inner)
        )
    if all(keep(rule) == rule.declarations for rule in node.rules):
        return node.text
    left = []
    for declarations, rules in groupby(node.rules, keep):
        if declarations:
            left.append(_write_block(",".join(rule.selector.text for rule in rules), write_declarations(declarations)))
    return "\n".join(left)


def _write_block(prelude: str, content: str) -> str:
    return f"{prelude}{{{content}}}"


def write_declarations(declarations: Sequence[StyleDeclaration]) -> str:
    """The declarations as text."""
    return ";".join(f"{one.name}:{one.value}{' !important' if one.is_important else ''}" for one in declarations)


def _serialize_nodes(nodes: Any) -> str:
    return str(tinycss2.serialize(nodes))
