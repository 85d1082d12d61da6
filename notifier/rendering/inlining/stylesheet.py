"""The `<style>` elements of a mail as rules that can be moved and rules that stay, and the text of what is left.

What decides between two declarations is kept in one number each (CSS Cascading §6): so it can be compared and no more.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import count, groupby
from typing import Any, Final

import tinycss2

from notifier.rendering.inlining.selector import Selector, parse_selectors

_CONDITIONS: Final = frozenset({"media", "supports", "container", "starting-style"})
_UNMOVABLE: Final = frozenset({"layer", "scope", "namespace"})
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
    "baseline": frozenset({"vertical-align", "alignment-baseline", "baseline-shift", "baseline-source"}),
}
_GROUP_OF: Final = {name: group for group, names in _GROUPS.items() for name in names}
_PREFIXES: Final = {
    "text-wrap": "wrap", "text-decoration": "text-decoration", "min": "limit", "max": "limit", "column": "grid",
    "justify": "align", "place": "align", "page": "break",
}  # fmt: skip
_VENDOR = re.compile(r"-(?:webkit|moz|ms|o)-")


def group_of(name: str) -> str:
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


Profile = frozenset[tuple[str, bool]]
"""The groups that a `style` attribute touches, and whether with importance."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One property with its value."""

    name: str
    value: str  # as written, without !important
    is_important: bool
    group: str


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One selector with its declarations; a rule with several is as many of these."""

    selector: Selector
    declarations: tuple[Declaration, ...]
    rank: tuple[tuple[int, int, int], int]  # specificity, then order
    can_move: bool  # it applies to everybody, to elements that are known
    line: int  # from 1, in its `<style>`
    groups: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """A rule as it is written, with all its selectors."""

    text: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Condition:
    """A rule such as `@media`, and what stands in it."""

    text: str
    prelude: str
    nodes: tuple["_Node", ...]


_Node = str | _Block | _Condition
Keep = Callable[[Rule], tuple[Declaration, ...]]
"""What is left of a rule in its `<style>`."""


@dataclass(kw_only=True)
class Stylesheet:
    """All the `<style>` elements of a mail."""

    elements: list[tuple["_Node", ...]] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    frozen: set[str] = field(default_factory=set)  # groups that are touched by something that is not understood
    is_movable: bool = True

    @cached_property
    def has_movable(self) -> bool:
        """Whether there is anything to move."""
        return self.is_movable and any(rule.can_move for rule in self.rules)

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
    for css, is_for_all in styles:
        nodes = tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True)
        sheet.elements.append(tuple(_read(sheet, nodes, order, is_for_all=is_for_all)))
    if any(rule.selector.is_upset for rule in sheet.rules) or "all" in sheet.frozen:
        sheet.is_movable = False
    return sheet


def _read(sheet: Stylesheet, nodes: Sequence[Any], order: Iterator[int], *, is_for_all: bool) -> Iterator[_Node]:
    for node in nodes:
        if node.type == "qualified-rule":
            yield _block(sheet, node, next(order), is_for_all=is_for_all)
        elif node.type == "at-rule":
            keyword = node.lower_at_keyword
            text = _write([node])
            if keyword in _UNMOVABLE:
                sheet.is_movable = False
            if keyword in _CONDITIONS and node.content is not None:
                inner = tinycss2.parse_rule_list(node.content, skip_comments=True, skip_whitespace=True)
                prelude = f"@{node.at_keyword}{_write(node.prelude)}"
                yield _Condition(text, prelude, tuple(_read(sheet, inner, order, is_for_all=False)))
            else:
                if keyword.endswith("keyframes") and node.content is not None:
                    sheet.frozen |= _groups_within(node.content)
                yield text


def _block(sheet: Stylesheet, node: Any, order: int, *, is_for_all: bool) -> _Block:
    text = _write([node])
    selectors = parse_selectors(node.prelude)
    declarations, is_nested = read_declarations(node.content)
    if selectors is None or is_nested:
        sheet.frozen |= _groups_within(node.content)
        return _Block(text, ())
    groups = frozenset(one.group for one in declarations)
    if "all" in groups:
        sheet.frozen.add("all")
    rules = tuple(
        Rule(selector, declarations, (selector.specificity, order), is_for_all and selector.is_static,
             int(node.source_line), groups)
        for selector in selectors
    )  # fmt: skip
    sheet.rules += rules
    return _Block(text, rules)


def read_declarations(content: Any) -> tuple[tuple[Declaration, ...], bool]:
    """The declarations of a rule or a `style` attribute, and whether there are rules among them."""
    nodes = tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True)
    declarations = []
    for node in nodes:
        if node.type == "declaration":
            name = node.name if node.name.startswith("--") else node.lower_name
            value = _write(node.value).strip()
            declarations.append(Declaration(name, value, node.important, group_of(name)))
    return tuple(declarations), any(node.type in ("qualified-rule", "at-rule") for node in nodes)


@lru_cache(maxsize=1024)
def read_profile(own: str) -> Profile:
    """The groups that a `style` attribute touches."""
    return frozenset((one.group, one.is_important) for one in read_declarations(own)[0]) if own else frozenset()


def _groups_within(content: list[Any]) -> set[str]:
    """The groups of all declarations, those of inner rules too."""
    groups = set()
    for node in tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True):
        if node.type == "declaration":
            groups.add(group_of(node.name if node.name.startswith("--") else node.lower_name))
        elif node.type in ("qualified-rule", "at-rule") and node.content is not None:
            groups |= _groups_within(node.content)
    return groups


def write_nodes(nodes: Sequence[_Node], keep: Keep) -> str:
    """The text of what is left of an element; what does not change is written as it was."""
    return "\n".join(filter(None, (_written(node, keep) for node in nodes)))


def _written(node: _Node, keep: Keep) -> str:
    if isinstance(node, str):
        return node
    if isinstance(node, _Condition):
        inner = write_nodes(node.nodes, keep)
        return node.text if inner == write_nodes(node.nodes, lambda rule: rule.declarations) else _braces(node.prelude, inner)
    if all(keep(rule) == rule.declarations for rule in node.rules):
        return node.text
    left = []
    for declarations, rules in groupby(node.rules, keep):
        if declarations:
            left.append(_braces(",".join(rule.selector.text for rule in rules), write_declarations(declarations)))
    return "\n".join(left)


def _braces(prelude: str, content: str) -> str:
    return f"{prelude}{{{content}}}"


def write_declarations(declarations: Sequence[Declaration]) -> str:
    """The declarations as text."""
    return ";".join(f"{one.name}:{one.value}{' !important' if one.is_important else ''}" for one in declarations)


def _write(nodes: Any) -> str:
    return str(tinycss2.serialize(nodes))
