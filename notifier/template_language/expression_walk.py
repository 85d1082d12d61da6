"""What a template's expression reads of the caller's variables, and what is known to be there where it stands.

It never evaluates anything. Where it cannot tell, it says that a variable is needed.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from jinja2 import nodes

from notifier.template_language.variable_path import LIST_ITEM
from notifier.template_language.variable_place import (
    ELSE,
    MINDS,
    Instead,
    Item,
    LostError,
    Path,
    Place,
    Scope,
    Use,
    Value,
    VariableRead,
    attribute_of,
    either,
    falls_back_on_nothing,
    replaced,
    sure_of,
)

MAX_STEPS = 30_000  # expressions looked at: macros that call macros would otherwise take for ever
_SAME = frozenset({"list", "reverse", "sort", "unique"})
_COUNTS = frozenset({"count", "length"})
_ONE = frozenset({"first", "last", "random"})


@dataclass
class Reading(ABC):
    """Follows expressions, with the facts that hold where they stand; `shape` is the schema of the sample."""

    shape: Mapping[str, Any]
    given: frozenset[str]  # names that are always there and are no variables
    reads: dict[VariableRead, None] = field(default_factory=dict)
    scope: Scope = field(default_factory=Scope)
    file: str = ""
    facts: frozenset[Path] = frozenset()
    steps: int = 0
    quiet: bool = False  # asking for facts is not reading
    strict: bool = False  # within a condition whose being false fails

    def use(self, node: nodes.Node, how: Use = Use.PASSED, *, whole: bool = True) -> Value:
        """Read the expression for a purpose that may fail without it, and return what it may come to."""
        value = self.value(node)
        self.read(value, node, how, whole=whole)
        return value

    def read(self, value: Value, node: nodes.Node, how: Use = Use.PASSED, *, whole: bool = True) -> None:
        """Note that the value is needed here."""
        for place in value:
            if isinstance(place, Place):
                self._note(place, node, minds=how in MINDS[place.instead], whole=whole)
            elif place is not ELSE and how is not Use.ASKED:
                raise LostError  # a macro goes where it cannot be followed

    def touch(self, value: Value, node: nodes.Node) -> None:
        """Note that the value is looked at, which fails only if what it stands in is not there."""
        for place in value:
            if isinstance(place, Place):
                self._note(place, node, minds=self.strict and place.instead is Instead.NOTHING, whole=False)

    def _note(self, place: Place, node: nodes.Node, *, minds: bool, whole: bool) -> None:
        if self.quiet:
            return
        sure = sure_of(place, self.facts)
        guarded = not minds or (sure >= len(place.path) and place.instead is Instead.NOTHING)
        path = tuple(LIST_ITEM if isinstance(step, Item) else step for step in place.path)
        read = VariableRead(path=path, file=self.file, line=node.lineno, guarded=guarded, sure=sure, whole=whole)
        self.reads[read] = None

    def settled(self, value: Value) -> Value:
        """The value with what is known of it here, to be used elsewhere."""
        return tuple(replace(one, sure=sure_of(one, self.facts)) if isinstance(one, Place) else one for one in value)

    @contextmanager
    def knowing(self, test: nodes.Node, *, holds: bool) -> Iterator[None]:
        """Where a condition holds, or where it does not."""
        before, self.facts = self.facts, self.facts | self.implied(test, holds=holds)
        try:
            yield
        finally:
            self.facts = before

    def value(self, node: nodes.Node) -> Value:
        """What the expression may come to; what is read on the way is noted."""
        self.steps += 1 + len(self.facts) // 8
        if self.steps > MAX_STEPS:
            raise LostError
        follow = getattr(self, f"_{type(node).__name__.lower()}", None)
        if follow is not None:
            return self.settled(follow(node))
        for child in node.iter_child_nodes():
            self.use(child)
        return ()

    def _name(self, node: nodes.Name) -> Value:
        return self.named(node.name)

    def named(self, name: str) -> Value:
        """What the name stands for here."""
        found = self.scope.find(name)
        if found is None:
            return () if name in self.given else (Place((name,)),)
        return found

    def _getattr(self, node: nodes.Getattr) -> Value:
        return self.enter(self.value(node.node), node.attr, node)

    def _getitem(self, node: nodes.Getitem) -> Value:
        if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            return self.enter(self.value(node.node), node.arg.value, node)
        if isinstance(node.arg, nodes.Const):
            return self.item(self.value(node.node), node, node.arg.value)
        self.use(node.arg)
        if isinstance(node.arg, nodes.Slice):
            return self.use(node.node, Use.LOOPED, whole=False)
        self.use(node.node)
        return ()

    def enter(self, value: Value, name: str, node: nodes.Node) -> Value:
        """What stands under the name in the value."""
        found: list[Any] = []
        for one in value:
            if isinstance(one, Place):
                if one.instead is not Instead.NOTHING:
                    self._note(one, node, minds=True, whole=False)
                found.append(Place((*one.path, name), one.sure))
            else:
                found += (ELSE,) if one is ELSE else self.member(one, name)
        return tuple(found)

    @abstractmethod
    def member(self, defined: Any, name: str) -> Value:
        """What stands under the name in something that a template defines."""

    def item(self, value: Value, node: nodes.Node, which: object, how: Use = Use.ENTERED) -> Value:
        """One of the items of the value, if it is a list; else it is read as a whole."""
        found: list[Any] = []
        for one in value:
            is_list = isinstance(one, Place) and self._type(one.path) in ("array", None)
            self.read((one,), node, how, whole=not is_list)
            found.append(Place((*one.path, Item(which)), len(one.path) + (how is Use.LOOPED)) if is_list else ELSE)
        return tuple(found)

    def _type(self, path: Path) -> str | None:
        """The type that the sample has at a path, or None if that is not known."""
        shape: Any = self.shape
        for step in path:
            shape = shape.get("items", {}) if isinstance(step, Item) else shape.get("properties", {}).get(step, {})
        kind: str | None = shape.get("type")
        return kind

    def _filter(self, node: nodes.Filter) -> Value:
        if node.node is None:
            return self._arguments(node)
        if node.name in ("default", "d"):
            return self._default(node)
        if node.name in _COUNTS:
            self.use(node.node, Use.LOOPED, whole=False)
            return ()
        if node.name in _ONE:
            return self.item(self.value(node.node), node, node.name)
        attribute = attribute_of(node)
        if attribute:
            value = self.value(node.node)
            inner = self.item(value, node, node, Use.LOOPED)
            for name in attribute.split("."):
                inner = self.enter(inner, name, node)
            self.read(inner, node)
        elif node.name in _SAME:
            value = self.use(node.node, Use.LOOPED, whole=False)
        else:
            self.use(node.node)
        self._arguments(node)
        return value if node.name in _SAME else ()

    def _arguments(self, node: nodes.Filter | nodes.Test | nodes.Call) -> Value:
        for child in node.iter_child_nodes(exclude=("node",)):
            self.use(child)
        return ()

    def _default(self, node: nodes.Filter) -> Value:
        assert node.node is not None
        value = self.value(node.node)
        self.touch(value, node)
        instead = Instead.EMPTY if falls_back_on_nothing(node) else Instead.OTHER
        fallback = [one for argument in node.args[:1] for one in self.value(argument)]
        for child in (*node.args[1:], *node.kwargs):
            self.use(child)
        return (*replaced(value, instead), *fallback)

    def _test(self, node: nodes.Test) -> Value:
        if node.name in ("defined", "undefined"):
            self.touch(self.value(node.node), node)
            return ()
        self.use(node.node, whole=False)
        return self._arguments(node)

    def _condexpr(self, node: nodes.CondExpr) -> Value:
        if node.expr2 is None:  # a false condition comes to something undefined: nothing is guarded by it
            before, self.strict = self.strict, True
            self.use(node.test, Use.ASKED, whole=False)
            self.strict = before
            return self.value(node.expr1)
        self.use(node.test, Use.ASKED, whole=False)
        with self.knowing(node.test, holds=True):
            first = self.value(node.expr1)
        with self.knowing(node.test, holds=False):
            return either(first, self.value(node.expr2))

    def _and(self, node: nodes.And) -> Value:
        left = self.use(node.left, Use.ASKED, whole=False)
        with self.knowing(node.left, holds=True):
            return either(left, self.value(node.right))

    def _or(self, node: nodes.Or) -> Value:
        left = self.use(node.left, Use.ASKED, whole=False)
        with self.knowing(node.left, holds=False):
            return either(left, self.value(node.right))

    def _not(self, node: nodes.Not) -> Value:
        self.use(node.node, Use.ASKED, whole=False)
        return ()

    def _compare(self, node: nodes.Compare) -> Value:
        asked = self._membership(node)
        if asked is None:
            for child in (node.expr, *(operand.expr for operand in node.ops)):
                self.use(child)
        else:
            self.touch(asked, node)
        return ()

    def _membership(self, node: nodes.Compare) -> Value | None:
        """The place that `"note" in order` asks for."""
        if len(node.ops) != 1 or node.ops[0].op not in ("in", "notin") or not isinstance(node.expr, nodes.Const):
            return None
        whole = self.value(node.ops[0].expr)
        objects = all(isinstance(one, Place) and self._type(one.path) == "object" for one in whole)
        return self.enter(whole, str(node.expr.value), node) if whole and objects else None

    def _call(self, node: nodes.Call) -> Value:
        callee = node.node
        if not isinstance(callee, nodes.Getattr):
            return self.called(self.value(callee), node)
        owner = self.value(callee.node)
        if any(not isinstance(one, Place) for one in owner):
            return self.called(self.enter(owner, callee.attr, callee), node)
        if callee.attr != "get" or not node.args or not isinstance(node.args[0], nodes.Const):
            self.read(owner, callee)
            return self._arguments(node)
        found = self.enter(owner, str(node.args[0].value), node)
        self.touch(found, node)
        fallback = [one for argument in node.args[1:] for one in self.value(argument)]
        return (*replaced(found, Instead.OTHER if node.args[1:] else Instead.NULL), *fallback)

    @abstractmethod
    def called(self, value: Value, node: nodes.Call) -> Value:
        """What a call of the value comes to."""

    def implied(self, node: nodes.Node, *, holds: bool) -> frozenset[Path]:
        """The paths that are there if the condition holds, or if it does not."""
        self.steps += 1
        if isinstance(node, nodes.Not):
            return self.implied(node.node, holds=not holds)
        if isinstance(node, nodes.And | nodes.Or):
            left, right = self.implied(node.left, holds=holds), self.implied(node.right, holds=holds)
            return left | right if holds is isinstance(node, nodes.And) else left & right
        if isinstance(node, nodes.Test) and node.name in ("defined", "undefined"):
            return self._path_of(node.node, {Instead.NOTHING}) if holds is (node.name == "defined") else frozenset()
        if isinstance(node, nodes.Compare):
            return self._path_of(node, {Instead.NOTHING}) if holds is (node.ops[0].op == "in") else frozenset()
        return self._path_of(node, {Instead.NOTHING, Instead.EMPTY, Instead.NULL}) if holds else frozenset()

    def _path_of(self, node: nodes.Node, real: set[Instead]) -> frozenset[Path]:
        """The one path that the expression stands for, unless a fallback can stand for it too."""
        while isinstance(node, nodes.Filter) and node.name in _COUNTS and node.node is not None:
            node = node.node  # a count that is true is one of something
        before, self.quiet = self.quiet, True
        value = (self._membership(node) or ()) if isinstance(node, nodes.Compare) else self.value(node)
        self.quiet = before
        if len(value) != 1 or not isinstance(value[0], Place) or value[0].instead not in real:
            return frozenset()
        return frozenset({value[0].path})
