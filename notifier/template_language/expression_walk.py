"""Find which of the caller's variables the expressions of a template read.

It follows names, dots and numbers in brackets, and evaluates nothing. A variable is needed unless `is defined` or
`default` asks for it first.
"""

from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, Final, Literal

import msgspec
from jinja2 import nodes

from notifier.template_language.context_filters import LINK_FILTER, STYLE_FILTER, UNQUOTED_FILTER
from notifier.template_language.value_check import LIST_ITEM, Condition, list_implied_paths, negate_condition

MAX_STEPS = 30_000  # macros that call macros could otherwise take very long
ESCAPES: Final = frozenset({"e", "escape", UNQUOTED_FILTER})
_LISTS: Final = frozenset({"list", "reverse", "sort"})  # filters that give the items of a list
_ATTRIBUTE_AT: Final = {"join": 1, "sort": 2, "sum": 0}
"""Where filters that look at one thing in each item take its name."""
_POSITIONS: Final = {"first": 0, "last": -1}
_COUNTS: Final = frozenset({"count", "length"})
_OPERATORS: Final = {"eq": "==", "ne": "!="}


class VariableRead(msgspec.Struct, frozen=True, kw_only=True):
    """One read of a variable in a part."""

    path: tuple[str, ...]  # from the caller's variables on; "[]" for an item of a list
    file: str  # as in `TemplateSource.files`
    line: int  # from 1
    guarded: bool  # nothing fails here if a caller leaves the variable out
    present: int = 0  # leading steps of the path that are known to be there whenever this is read
    whole: bool = True  # the value itself is shown or handed on, so that everything in it counts as read


class LostError(Exception):
    """The parts cannot be followed, so that it is not known which variables they do not need."""


@dataclass(frozen=True, eq=False)
class LoopItem:
    """A step to the current item of a loop; each loop has one of its own."""


Path = tuple[str | int | LoopItem, ...]


@dataclass(frozen=True)
class Place:
    """A value of the caller's, by its path."""

    path: Path
    fallback: Literal["", "empty", "other"] = ""  # what stands in for a missing value: nothing, "", or something else


@dataclass(eq=False)
class Scope:
    """Names that a template has set; an imported file is one too."""

    names: "ChainMap[str, Named]" = field(default_factory=ChainMap)
    sees_variables: bool = True  # False: a file without context

    def create_child(self, names: "dict[str, Named] | None" = None) -> "Scope":
        """A scope within this one."""
        return Scope(self.names.new_child(names or {}), self.sees_variables)


@dataclass(frozen=True, eq=False)
class Macro:
    """A macro or the body of a call block, with the scope and file of its definition."""

    node: nodes.Macro | nodes.CallBlock
    scope: Scope
    file: str


Named = Place | Macro | Scope | None
"""What a name or an expression stands for; None is something of the template's own."""


@dataclass
class ExpressionWalk:
    """Follows expressions under the conditions where they stand; `shape` is the schema of the sample."""

    shape: Mapping[str, Any]
    reserved: frozenset[str]  # names that are no variables
    reads: dict[VariableRead, None] = field(default_factory=dict)
    scope: Scope = field(default_factory=Scope)
    file: str = ""
    conditions: tuple[Condition, ...] = ()  # that hold at this point of the walk
    known: frozenset[Path] = frozenset()  # paths that exist because of the conditions
    steps: int = 0

    def resolve_expression(self, node: nodes.Node) -> Named:
        """What the expression stands for: a variable, a macro or a file; None for other values. Notes nothing."""
        self.count_step()
        match node:
            case nodes.Name(name=name):
                is_variable = name not in self.reserved and self.scope.sees_variables
                return self.scope.names.get(name, Place((name,)) if is_variable else None)
            case nodes.Getattr(node=owner, attr=name) | nodes.Getitem(node=owner, arg=nodes.Const(value=str(name))):
                return self._enter(self.resolve_expression(owner), name)
            case nodes.Getitem(node=owner, arg=nodes.Const(value=int(number))):
                return self.get_item(self.resolve_expression(owner), number)
            case nodes.Filter(node=nodes.Expr() as inner):
                return self._resolve_filter(node, self.resolve_expression(inner))
        return None

    def count_step(self) -> None:
        """Count a step. Raises `LostError` if there are too many."""
        self.steps += 1 + len(self.known) // 8
        if self.steps > MAX_STEPS:
            raise LostError

    def _resolve_filter(self, node: nodes.Filter, inner: Named) -> Named:
        if node.name in ESCAPES | _LISTS | {LINK_FILTER, STYLE_FILTER}:
            return inner
        if node.name in ("default", "d") and isinstance(inner, Place):
            return replace(inner, fallback="empty" if _is_empty_fallback(node) else "other")
        return self.get_item(inner, _POSITIONS[node.name]) if node.name in _POSITIONS else None

    def _enter(self, owner: Named, name: str) -> Named:
        if isinstance(owner, Scope):
            return owner.names.get(name)
        return Place((*owner.path, name)) if isinstance(owner, Place) else None

    def get_item(self, place: Named, step: int | LoopItem) -> Place | None:
        """An item of the list at this place; None if the sample has no list there."""
        if not isinstance(place, Place):
            return None
        shape: Any = self.shape
        for name in place.path:
            shape = shape.get("properties", {}).get(name, {}) if isinstance(name, str) else shape.get("items", {})
        return Place((*place.path, step)) if shape.get("type", "array") == "array" else None

    @contextmanager
    def under_conditions(self, *conditions: Condition) -> Iterator[None]:
        """Set the conditions for the code in the `with` block."""
        before = self.conditions, self.known
        self.conditions = (*self.conditions, *conditions)
        self.known = self.known.union(*map(list_implied_paths, conditions))
        try:
            yield
        finally:
            self.conditions, self.known = before

    def get_condition(self, node: nodes.Node) -> Condition:
        """The condition of a test, as far as it concerns variables."""
        match node:
            case nodes.Not():
                return negate_condition(self.get_condition(node.node))
            case nodes.And() | nodes.Or():
                kind = "and" if isinstance(node, nodes.And) else "or"
                return (kind, self.get_condition(node.left), self.get_condition(node.right))
            case nodes.Test(name="defined"):
                return _state("defined", self.resolve_expression(node.node))
            case nodes.Test(name="undefined"):
                return negate_condition(_state("defined", self.resolve_expression(node.node)))
            case nodes.Compare(ops=[nodes.Operand(op="eq" | "ne" as operator, expr=nodes.Const(value=value))]):
                return _state(_OPERATORS[operator], self.resolve_expression(node.expr), value)
        while isinstance(node, nodes.Filter) and node.name in _COUNTS and node.node is not None:
            node = node.node
        return _state("true", self.resolve_expression(node))

    def note_read(self, place: Named, node: nodes.Node, *, whole: bool = False, guarded: bool = False) -> None:
        """Note that the value is read here; `guarded`: nothing fails if it is missing."""
        if isinstance(place, Place):
            present = max((_count_alike(place.path, other) for other in self.known), default=0)
            path = tuple(step if isinstance(step, str) else LIST_ITEM for step in place.path)
            guarded = guarded or bool(place.fallback) or all(step == LIST_ITEM for step in path[present:])
            read = VariableRead(
                path=path, file=self.file, line=node.lineno, guarded=guarded, present=present, whole=whole
            )
            self.reads[read] = None

    def read_expression(self, node: nodes.Node, *, whole: bool = True) -> None:
        """Note everything that the expression reads; `whole`: including everything inside its value."""
        place = self.resolve_expression(node)
        if isinstance(place, Macro | Scope):
            raise LostError  # a macro is passed on as a value
        if place is not None:
            self.note_read(place, node, whole=whole)
            self._read_arguments(node)
        else:
            getattr(self, f"_read_{type(node).__name__.lower()}", self.read_children)(node)

    def read_children(self, node: nodes.Node) -> None:
        """Note what the parts of the expression read."""
        for child in node.iter_child_nodes():
            self.read_expression(child)

    def read_test(self, test: nodes.Node) -> Condition:
        """Note what a test reads. Returns its condition."""
        if not isinstance(self.resolve_expression(test), Macro | Scope):
            self.read_expression(test, whole=False)
        return self.get_condition(test)

    def bind_value(self, node: nodes.Node) -> Named:
        """What the expression stands for, to be set under another name; other values are read at once."""
        named = self.resolve_expression(node)
        if named is None:
            self.read_expression(node)
        else:
            self.note_read(named, node, guarded=True)
            self._read_arguments(node)
        return named

    def read_filter(self, node: nodes.Filter) -> None:
        """Note what a filter reads besides what it is applied to."""
        place = None if node.node is None else self.resolve_expression(node.node)
        if (attribute := _get_attribute(node)) is not None:
            item = self.get_item(place, LoopItem())
            self.note_read(item and Place((*item.path, *attribute.split("."))), node, whole=True)
        elif node.name in _LISTS and (node.args or node.kwargs):  # it may look at anything in each item
            self.note_read(place, node, whole=True)
        for child in node.iter_child_nodes(exclude=("node",)):
            self.read_expression(child)

    def _read_arguments(self, node: nodes.Node | None) -> None:
        """Note what the filters on the way to a variable read."""
        while isinstance(node, nodes.Filter | nodes.Getattr | nodes.Getitem):
            if isinstance(node, nodes.Filter):
                self.read_filter(node)
            node = node.node

    def _read_filter(self, node: nodes.Filter) -> None:
        self.read_filter(node)
        if node.node is not None:
            self.read_expression(node.node, whole=node.name not in _COUNTS and _get_attribute(node) is None)

    def _read_test(self, node: nodes.Test) -> None:
        place = self.resolve_expression(node.node) if node.name in ("defined", "undefined") else None
        if place is None:
            self.read_children(node)
        else:
            self.note_read(place, node, guarded=True)
            self._read_arguments(node.node)

    def _read_condexpr(self, node: nodes.CondExpr) -> None:
        condition = self.read_test(node.test)
        if node.expr2 is None:  # without “else” a false test gives an undefined value, so it guards nothing
            for test in node.find_all(nodes.Test):
                self.note_read(self.resolve_expression(test.node), test)
            self.read_expression(node.expr1)
            return
        with self.under_conditions(condition):
            self.read_expression(node.expr1)
        with self.under_conditions(negate_condition(condition)):
            self.read_expression(node.expr2)

    def _read_and(self, node: nodes.And | nodes.Or) -> None:
        condition = self.read_test(node.left)
        with self.under_conditions(condition if isinstance(node, nodes.And) else negate_condition(condition)):
            self.read_expression(node.right)

    _read_or = _read_and

    def _read_not(self, node: nodes.Not) -> None:
        self.read_test(node.node)


def _count_alike(path: Path, other: Path) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(path, other, strict=False)))


def _state(kind: str, place: Named, *constant: Any) -> Condition:
    """A condition about one variable; None if it may concern a fallback instead."""
    if not isinstance(place, Place) or place.fallback not in ("", "empty" if kind == "true" else ""):
        return None
    return (kind, place.path, *constant)


def _is_empty_fallback(node: nodes.Filter) -> bool:
    """Whether the filter's default is nothing: an empty text or list, false or null."""
    match node.args[:1]:
        case [nodes.Const(value=value)]:
            return not value
        case [nodes.List(items=items) | nodes.Tuple(items=items) | nodes.Dict(items=items)]:
            return not items
    return not node.args and all(keyword.key == "boolean" for keyword in node.kwargs)


def _get_attribute(node: nodes.Filter) -> str | None:
    """The name, perhaps dotted, of what the filter looks at in each item."""
    if (at := _ATTRIBUTE_AT.get(node.name)) is None:
        return None
    names = [*(keyword.value for keyword in node.kwargs if keyword.key == "attribute"), *node.args[at : at + 1]]
    return names[0].value if names and isinstance(names[0], nodes.Const) and isinstance(names[0].value, str) else None
