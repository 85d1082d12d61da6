"""Find which variables the expressions of a template read.

It follows names and dots, and evaluates nothing. A variable is needed unless `is defined`, `in`, `get` or `default`
asks for it first.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from jinja2 import nodes

from notifier.template_language.context_filters import LINK_FILTER, STYLE_FILTER, UNQUOTED_FILTER
from notifier.template_language.variable_path import LIST_ITEM
from notifier.template_language.variable_place import (
    Condition,
    Item,
    LostError,
    Macro,
    Named,
    Path,
    Place,
    Scope,
    VariableRead,
    count_present,
    is_empty_fallback,
    list_implied,
    negate,
)

MAX_STEPS = 30_000  # expressions looked at: macros that call macros would otherwise take for ever
ESCAPES: Final = frozenset({"e", "escape", UNQUOTED_FILTER})
_LISTS: Final = frozenset({"list", "reverse", "sort", "unique"})
"""Filters that give the items of a list."""
_COUNTS: Final = frozenset({"count", "length"})
_ATTRIBUTE_AT: Final = {"join": 1, "sort": 2, "sum": 0, "unique": 1}
"""Where filters that look at something in each item take its name."""
_OPERATORS: Final = {"eq": "==", "ne": "!="}


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

    # -- what an expression stands for -----------------------------------------------------------

    def resolve(self, node: nodes.Node) -> Named:
        """What the expression stands for: a variable, a macro or a file; None for other values. Notes nothing."""
        self.step()
        named: Named = None
        match node:
            case nodes.Name(name=name):
                is_variable = name not in self.reserved and self.scope.sees_variables
                named = self.scope.names.get(name, Place((name,)) if is_variable else None)
            case nodes.Getattr(node=owner, attr=name) | nodes.Getitem(node=owner, arg=nodes.Const(value=str(name))):
                named = self._enter(self.resolve(owner), name)
            case nodes.Getitem(node=owner, arg=nodes.Const(value=number)):
                named = self.get_item(self.resolve(owner), number)
            case nodes.Getitem(node=owner, arg=nodes.Slice()):
                named = _mark_partial(self.resolve(owner))
            case nodes.Filter(node=nodes.Expr() as inner):
                named = self._resolve_filter(node, self.resolve(inner))
            case nodes.Call(node=nodes.Getattr(node=owner, attr="get"), args=[nodes.Const(value=str(name)), *others]):
                value = self._enter(self.resolve(owner), name)
                named = replace(value, fallback="other" if others else "empty") if isinstance(value, Place) else None
        return named

    def step(self) -> None:
        """Count a step. Raises `LostError` if there are too many."""
        self.steps += 1 + len(self.known) // 8
        if self.steps > MAX_STEPS:
            raise LostError

    def _resolve_filter(self, node: nodes.Filter, inner: Named) -> Named:
        if node.name in ESCAPES | {LINK_FILTER, STYLE_FILTER}:
            return inner
        if not isinstance(inner, Place):
            return None
        if node.name in ("default", "d"):
            return replace(inner, fallback="empty" if is_empty_fallback(node) else "other")
        if node.name in ("first", "last"):
            return self.get_item(inner, node.name)
        if node.name in _LISTS:
            return _mark_partial(inner) if node.name == "unique" else inner
        return None

    def _enter(self, owner: Named, name: str) -> Named:
        if isinstance(owner, Scope):
            return owner.names.get(name)
        return Place((*owner.path, name)) if isinstance(owner, Place) else None

    def get_item(self, place: Named, which: object) -> Place | None:
        """An item of the list at this place; None if it is no list."""
        if not isinstance(place, Place) or self._type(place.path) not in ("array", None):
            return None
        return Place((*place.path, Item(which, is_known=not place.is_partial)))

    def _type(self, path: Path) -> str | None:
        """The type that the sample has at a path, or None if that is not known."""
        shape: Any = self.shape
        for step in path:
            shape = shape.get("items", {}) if isinstance(step, Item) else shape.get("properties", {}).get(step, {})
        kind: str | None = shape.get("type")
        return kind

    # -- conditions ------------------------------------------------------------------------------

    @contextmanager
    def where(self, *conditions: Condition) -> Iterator[None]:
        """Where these conditions hold."""
        before = self.conditions, self.known
        self.conditions = (*self.conditions, *conditions)
        self.known = self.known.union(*map(list_implied, conditions))
        try:
            yield
        finally:
            self.conditions, self.known = before

    def get_condition(self, node: nodes.Node) -> Condition:
        """The condition of a test, as far as it is about variables."""
        match node:
            case nodes.Not():
                return negate(self.get_condition(node.node))
            case nodes.And() | nodes.Or():
                kind = "and" if isinstance(node, nodes.And) else "or"
                return (kind, self.get_condition(node.left), self.get_condition(node.right))
            case nodes.Test(name="defined" | "undefined" as name):
                condition = _state("defined", self.resolve(node.node))
                return negate(condition) if name == "undefined" else condition
            case nodes.Compare(ops=[nodes.Operand(op="in" | "notin" as operator)]):
                condition = _state("defined", self._get_member(node))
                return negate(condition) if operator == "notin" else condition
            case nodes.Compare(ops=[nodes.Operand(op="eq" | "ne" as operator, expr=nodes.Const(value=value))]):
                return _state(_OPERATORS[operator], self.resolve(node.expr), value)
        while isinstance(node, nodes.Filter) and node.name in _COUNTS and node.node is not None:
            node = node.node
        return _state("true", self.resolve(node))

    def _get_member(self, node: nodes.Compare) -> Named:
        """The place that `"note" in order` asks for."""
        whole = self.resolve(node.ops[0].expr)
        is_object = isinstance(whole, Place) and self._type(whole.path) == "object"
        return self._enter(whole, str(node.expr.value)) if is_object and isinstance(node.expr, nodes.Const) else None

    # -- reads -----------------------------------------------------------------------------------

    def note(self, place: Named, node: nodes.Node, *, whole: bool = False, guarded: bool = False) -> None:
        """Note that the value is read here; `guarded` if nothing fails without it."""
        if not isinstance(place, Place):
            return
        present = count_present(place.path, self.known)
        path = tuple(LIST_ITEM if isinstance(step, Item) else step for step in place.path)
        guarded = guarded or bool(place.fallback) or all(step == LIST_ITEM for step in path[present:])
        read = VariableRead(path=path, file=self.file, line=node.lineno, guarded=guarded, present=present, whole=whole)
        self.reads[read] = None

    def read(self, node: nodes.Node, *, whole: bool = True) -> None:
        """Note everything that the expression reads; `whole`: including everything inside its value."""
        place = self.resolve(node)
        if isinstance(place, Macro | Scope):
            raise LostError  # a macro is passed on as a value
        if place is not None:
            self.note(place, node, whole=whole)
            self._read_arguments(node)
        elif (read := getattr(self, f"_read_{type(node).__name__.lower()}", None)) is not None:
            read(node)
        else:
            self.read_children(node)

    def read_children(self, node: nodes.Node) -> None:
        """Note what the parts of the expression read."""
        for child in node.iter_child_nodes():
            self.read(child)

    def ask(self, test: nodes.Node) -> Condition:
        """Note what a test reads. Returns its condition."""
        if not isinstance(self.resolve(test), Macro | Scope):
            self.read(test, whole=False)
        return self.get_condition(test)

    def read_list(self, node: nodes.Node, which: object) -> Place | None:
        """Note that a list is looped over. Returns its item, or None if it may be no list."""
        item = self.get_item(self.resolve(node), which)
        self.read(node, whole=item is None)
        return item

    def _read_arguments(self, node: nodes.Node) -> None:
        """Note what the arguments of filters and methods on the way to a variable read."""
        if isinstance(node, nodes.Filter):
            self.read_filter(node)
        elif isinstance(node, nodes.Call):
            for child in node.args[1:]:
                self.read(child)
        inner = getattr(node.node if isinstance(node, nodes.Call) else node, "node", None)
        if inner is not None:
            self._read_arguments(inner)

    def bind_value(self, node: nodes.Node) -> Named:
        """What the expression stands for, to be used under another name; other values are read at once."""
        named = self.resolve(node)
        if named is None:
            self.read(node)
        else:
            self.note(named, node, guarded=True)
            self._read_arguments(node)
        return named

    def read_filter(self, node: nodes.Filter) -> None:
        """Note what a filter reads besides what it is applied to."""
        if (attribute := _get_attribute(node)) is not None and node.node is not None:
            item = self.get_item(self.resolve(node.node), node)
            self.note(item and Place((*item.path, *attribute.split("."))), node, whole=True)
        for child in node.iter_child_nodes(exclude=("node",)):
            self.read(child)

    def _read_filter(self, node: nodes.Filter) -> None:
        self.read_filter(node)
        if node.node is not None:
            self.read(node.node, whole=node.name not in _COUNTS and _get_attribute(node) is None)
            place = self.resolve(node.node)
            if isinstance(node.node, nodes.Call) and isinstance(place, Place) and place.fallback == "empty":
                self.note(replace(place, fallback=""), node)  # `get` without a fallback: filters may refuse a null

    def _read_getitem(self, node: nodes.Getitem) -> None:
        self.read(node.node, whole=not isinstance(node.arg, nodes.Slice))
        self.read(node.arg)

    def _read_test(self, node: nodes.Test) -> None:
        if node.name in ("defined", "undefined"):
            self.note(self.resolve(node.node), node, guarded=True)
            self._read_arguments(node.node)
        else:
            self.read_children(node)

    def _read_condexpr(self, node: nodes.CondExpr) -> None:
        condition = self.ask(node.test)
        if node.expr2 is None:  # without {% else %} a false test gives an undefined value, so it guards nothing
            for test in [node.test, *node.test.find_all(nodes.Test)]:
                self.note(self.resolve(test.node) if isinstance(test, nodes.Test) else None, test)
            self.read(node.expr1)
            return
        with self.where(condition):
            self.read(node.expr1)
        with self.where(negate(condition)):
            self.read(node.expr2)

    def _read_and(self, node: nodes.And | nodes.Or) -> None:
        condition = self.ask(node.left)
        with self.where(condition if isinstance(node, nodes.And) else negate(condition)):
            self.read(node.right)

    _read_or = _read_and

    def _read_not(self, node: nodes.Not) -> None:
        self.ask(node.node)

    def _read_compare(self, node: nodes.Compare) -> None:
        is_membership = len(node.ops) == 1 and node.ops[0].op in ("in", "notin")
        if is_membership and (member := self._get_member(node)) is not None:
            self.note(member, node, guarded=True)
        else:
            self.read_children(node)


def _state(kind: str, place: Named, *constant: Any) -> Condition:
    """A condition about one variable; None if it may be about a fallback instead."""
    if (
        not isinstance(place, Place)
        or place.is_partial
        or place.fallback not in ("", "empty" if kind == "true" else "")
    ):
        return None
    return (kind, place.path, *constant)


def _mark_partial(place: Named) -> Named:
    return replace(place, is_partial=True) if isinstance(place, Place) else None


def _get_attribute(node: nodes.Filter) -> str | None:
    """The name, perhaps dotted, of what the filter looks at in each item."""
    names = [keyword.value for keyword in node.kwargs if keyword.key == "attribute"]
    at = _ATTRIBUTE_AT.get(node.name)
    names += [] if at is None else node.args[at : at + 1]
    match names:
        case [nodes.Const(value=str(name))]:
            return name
    return None
