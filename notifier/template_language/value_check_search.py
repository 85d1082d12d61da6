"""What a template does with the caller's values that can go wrong: links, styles, dates, amounts; and when it does so.

A check is noted only if value and conditions can be told from the template alone, so that none refuses a good mail.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from jinja2 import nodes

from notifier.template_language.context_filters import LINK_FILTER, STYLE_FILTER, UNQUOTED_FILTER
from notifier.template_language.expression_walk import Reading
from notifier.template_language.link_address import ENDS, LINK_SCHEMES
from notifier.template_language.value_check import (
    CHECKED_ARGUMENTS,
    MAX_CHECKS,
    VALUE_PARSERS,
    CheckArgument,
    ValueCheck,
)
from notifier.template_language.variable_path import LIST_ITEM
from notifier.template_language.variable_place import Instead, Item, Path, Place, Use, Value

Condition = tuple[Any, ...] | None
"""As in a `ValueCheck`, with paths as they are here; None: it cannot be told."""
_PLAIN = (nodes.Name, nodes.Getattr, nodes.Getitem)
_SAME = frozenset({"e", "escape", UNQUOTED_FILTER})
_AS_EMPTY = frozenset({"count", "length", "list", "reverse", "sort", "unique"})
"""What they make of a list is true if the list is, which is not empty."""
_PARTIAL = "partial"
_PLACES = {"first": 0, "last": -1}
_OPERATORS = {"eq": "==", "ne": "!="}


def negated(condition: Condition) -> Condition:
    """Where the condition does not hold."""
    return None if condition is None else ("not", condition)


@dataclass
class Checking(Reading):
    """Notes what is done with values, and under which conditions."""

    schemes: list[str] = field(default_factory=list)  # that links may have
    checks: dict[bytes, ValueCheck] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()

    @contextmanager
    def where(self, *conditions: Condition) -> Iterator[None]:
        """Where these conditions hold."""
        before, self.conditions = self.conditions, (*self.conditions, *conditions)
        try:
            yield
        finally:
            self.conditions = before

    @contextmanager
    def knowing(self, test: nodes.Node, *, holds: bool) -> Iterator[None]:
        """Where a condition holds, or where it does not."""
        condition = self.condition_of(test)
        with super().knowing(test, holds=holds), self.where(condition if holds else negated(condition)):
            yield

    # -- conditions ------------------------------------------------------------------------------

    def condition_of(self, node: nodes.Node) -> Condition:
        """The condition as far as it is about variables."""
        self.steps += 1
        if isinstance(node, nodes.Not):
            return negated(self.condition_of(node.node))
        if isinstance(node, nodes.And | nodes.Or):
            left, right = self.condition_of(node.left), self.condition_of(node.right)
            kind = "and" if isinstance(node, nodes.And) else "or"
            return None if left is None or right is None else (kind, left, right)
        if isinstance(node, nodes.Test) and node.name in ("defined", "undefined"):
            place = self._place_of(node.node)
            defined = ("defined", place.path) if place is not None and place.instead is Instead.NOTHING else None
            return defined if node.name == "defined" else negated(defined)
        if isinstance(node, nodes.Compare):
            return self._comparison(node)
        while isinstance(node, nodes.Filter) and node.name in _AS_EMPTY and node.node is not None:
            node = node.node
        place = self._place_of(node)
        return None if place is None or place.instead is Instead.OTHER else ("true", place.path)

    def _comparison(self, node: nodes.Compare) -> Condition:
        if len(node.ops) != 1 or node.ops[0].op not in _OPERATORS or not isinstance(node.ops[0].expr, nodes.Const):
            return None
        place = self._place_of(node.expr)
        if place is None or place.instead is not Instead.NOTHING:
            return None
        return (_OPERATORS[node.ops[0].op], place.path, node.ops[0].expr.value)

    def _place_of(self, node: nodes.Node) -> Place | None:
        """The one variable that the expression stands for."""
        while isinstance(node, nodes.Filter) and node.name in ("default", "d") and node.node is not None:
            if node.args and not (isinstance(node.args[0], nodes.Const) and not node.args[0].value):
                return None
            node = node.node
        if not isinstance(node, _PLAIN):
            return None
        before, self.quiet = self.quiet, True
        value = self.value(node)
        self.quiet = before
        return value[0] if len(value) == 1 and isinstance(value[0], Place) else None

    # -- what is done with values ------------------------------------------------------------------

    def _filter(self, node: nodes.Filter) -> Value:
        if node.node is None or not (
            node.name in VALUE_PARSERS
            or node.name in (LINK_FILTER, STYLE_FILTER, UNQUOTED_FILTER, "e", "escape", "unique")
        ):
            return super()._filter(node)
        if node.name == "unique":
            return _partial(super()._filter(node))
        if node.name in _SAME:
            return self.value(node.node)
        self._note_checks(node, node.node, ())
        if node.name in (LINK_FILTER, STYLE_FILTER):
            return self.value(node.node)
        self.use(node.node)
        self._arguments(node)
        return ()

    def _getitem(self, node: nodes.Getitem) -> Value:
        value = super()._getitem(node)
        return _partial(value) if isinstance(node.arg, nodes.Slice) else value

    def item(self, value: Value, node: nodes.Node, which: object, how: Use = Use.ENTERED) -> Value:
        """One of the items of the value; of a part of a list nobody knows which."""
        if any(isinstance(one, Place) and one.partial for one in value):
            which = (_PARTIAL, which)
        return super().item(value, node, which, how)

    def _note_checks(self, node: nodes.Filter, shown: nodes.Node, conditions: tuple[Condition, ...]) -> None:
        """Note what the filter does with each variable that the expression may come to."""
        self.steps += 1 + len(conditions) // 8
        if self.quiet or len(self.checks) >= MAX_CHECKS:
            return
        if isinstance(shown, nodes.CondExpr):
            condition = self.condition_of(shown.test)
            self._note_checks(node, shown.expr1, (*conditions, condition))
            if shown.expr2 is not None:
                self._note_checks(node, shown.expr2, (*conditions, negated(condition)))
        elif isinstance(shown, nodes.Or):
            condition = self.condition_of(shown.left)
            self._note_checks(node, shown.left, (*conditions, condition))
            self._note_checks(node, shown.right, (*conditions, negated(condition)))
        elif isinstance(shown, nodes.And):
            self._note_checks(node, shown.right, (*conditions, self.condition_of(shown.left)))
        elif isinstance(shown, nodes.Filter) and shown.name in _SAME and shown.node is not None:
            self._note_checks(node, shown.node, conditions)
        elif isinstance(shown, nodes.Filter) and shown.name in ("default", "d") and shown.node is not None:
            condition = self._sent(shown)
            self._note_checks(node, shown.node, (*conditions, condition))
            for fallback in shown.args[:1]:
                self._note_checks(node, fallback, (*conditions, negated(condition)))
        elif (place := self._place_of(shown)) is not None and isinstance(shown, _PLAIN):
            sent: tuple[Condition, ...] = () if place.instead is Instead.NOTHING else (("true", place.path),)
            self._note_check(node, place.path, (*self.conditions, *conditions, *sent))

    def _sent(self, node: nodes.Filter) -> Condition:
        """When a default does not apply: the value was sent, or is true if the filter asks for that."""
        assert node.node is not None
        flags = [*node.args[1:2], *(keyword.value for keyword in node.kwargs if keyword.key == "boolean")]
        if not flags:
            place = self._place_of(node.node)
            return None if place is None else ("defined", place.path)
        if isinstance(flags[0], nodes.Const) and flags[0].value:
            return self.condition_of(node.node)
        return None

    def _note_check(self, node: nodes.Filter, path: Path, conditions: tuple[Condition, ...]) -> None:
        steps = [_step(step) for step in path]
        when = [_encoded(condition, path) for condition in dict.fromkeys(conditions) if not _is_plain(condition, path)]
        if None in steps or None in when:
            return
        check = ValueCheck(
            path=[step for step in steps if step is not None],
            takes="link" if node.name == LINK_FILTER else "style" if node.name == STYLE_FILTER else node.name,
            given=self._given(node, path),
            when=[condition for condition in when if condition is not None],
        )
        self.checks.setdefault(msgspec.json.encode(check), check)

    def _given(self, node: nodes.Filter, path: Path) -> dict[str, CheckArgument]:
        """The arguments that decide what can be taken, as far as they are fixed or variables."""
        if node.name == LINK_FILTER:
            follows, image = (argument.as_const() for argument in node.args)
            given = {"image": CheckArgument(value=True)} if image else self._schemes_given()
            return given | ({"follows": CheckArgument(follows)} if follows != ENDS else {})
        if node.name == "safe_url":
            return self._schemes_given()
        names = CHECKED_ARGUMENTS.get(node.name, ())
        found: dict[str, nodes.Expr] = dict(zip(names, node.args, strict=False))
        for pair in node.kwargs:
            found |= {name: pair.value for name in names if pair.key == name}
        arguments = {name: self._argument(argument, path) for name, argument in found.items()}
        return {name: argument for name, argument in arguments.items() if argument is not None}

    def _schemes_given(self) -> dict[str, CheckArgument]:
        return {} if self.schemes == list(LINK_SCHEMES) else {"schemes": CheckArgument(self.schemes)}

    def _argument(self, node: nodes.Node, path: Path) -> CheckArgument | None:
        if isinstance(node, nodes.Const):
            return CheckArgument(node.value)
        place = self._place_of(node) if isinstance(node, _PLAIN) else None
        if place is None or place.instead is not Instead.NOTHING:
            return None
        steps = _relative(place.path, path)
        return None if steps is None else CheckArgument(path=steps)


def _partial(value: Value) -> Value:
    return tuple(replace(one, partial=True) if isinstance(one, Place) else one for one in value)


def _step(step: str | Item) -> str | int | None:
    """A step as a `ValueCheck` has it; None: it is not known which item it is."""
    if not isinstance(step, Item):
        return step
    if isinstance(step.which, int) and not isinstance(step.which, bool):
        return step.which
    if isinstance(step.which, str):
        return _PLACES.get(step.which)
    if isinstance(step.which, tuple):
        return step.which[1] if step.which[0] == "part" else None
    return LIST_ITEM


def _relative(path: Path, checked: Path) -> list[str | int] | None:
    """The path of another variable; the items of lists that it goes through must be those of the checked one."""
    steps = [_step(step) for step in path]
    for at, step in enumerate(steps):
        if step is None or (step == LIST_ITEM and path[: at + 1] != checked[: at + 1]):
            return None
    return [step for step in steps if step is not None]


def _is_plain(condition: Condition, checked: Path) -> bool:
    """Whether it holds of itself: there is a list that one of its items is looked at of."""
    if condition is None or condition[0] not in ("true", "defined"):
        return False
    path = condition[1]
    inside = len(path) < len(checked) and checked[: len(path)] == path and isinstance(checked[len(path)], Item)
    return inside or (condition[0] == "defined" and path == checked)


def _encoded(condition: Condition, checked: Path) -> list[Any] | None:
    """The condition as a `ValueCheck` has it; None: it cannot be told."""
    if condition is None:
        return None
    kind, *rest = condition
    if kind in ("not", "and", "or"):
        inner = [_encoded(one, checked) for one in rest]
        return None if None in inner else [kind, *inner]
    path = _relative(rest[0], checked)
    return None if path is None else [kind, path, *rest[1:]]
