"""Find the value checks of a template: what it does with a caller's values that can fail, and under which conditions.

A check is noted only if the template alone tells its value and conditions, so that no check refuses a good mail.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from jinja2 import nodes

from notifier.template_language.context_filters import LINK_FILTER, STYLE_FILTER
from notifier.template_language.expression_walk import ESCAPES, ExpressionWalk
from notifier.template_language.link_address import ENDS, LINK_SCHEMES
from notifier.template_language.value_check import (
    CHECKED_ARGUMENTS,
    MAX_CHECKS,
    VALUE_PARSERS,
    CheckArgument,
    ValueCheck,
)
from notifier.template_language.variable_path import LIST_ITEM
from notifier.template_language.variable_place import Condition, Item, Path, Place, negate

_POSITIONS = {"first": 0, "last": -1}


@dataclass
class ValueCheckWalk(ExpressionWalk):
    """An expression walk that also notes the value checks."""

    schemes: list[str] = field(default_factory=list)  # of links
    checks: dict[bytes, ValueCheck] = field(default_factory=dict)

    def read_filter(self, node: nodes.Filter) -> None:
        """Note also the checks of a filter that does not accept every value."""
        super().read_filter(node)
        if node.node is not None and (node.name in VALUE_PARSERS or node.name in (LINK_FILTER, STYLE_FILTER)):
            self._note_checks(node, node.node, ())

    def _note_checks(self, node: nodes.Filter, expression: nodes.Node, conditions: tuple[Condition, ...]) -> None:
        """Note a check for each variable that can be the value of the expression."""
        self.step()
        if len(self.checks) >= MAX_CHECKS:
            return
        match expression:
            case nodes.CondExpr() | nodes.Or() | nodes.And():
                for inner, condition in self._list_choices(expression):
                    self._note_checks(node, inner, (*conditions, condition))
            case nodes.Filter(node=nodes.Expr() as inner) if expression.name in ESCAPES:
                self._note_checks(node, inner, conditions)
            case nodes.Filter(node=nodes.Expr() as inner) if expression.name in ("default", "d"):
                condition = self._get_sent_condition(expression, inner)
                self._note_checks(node, inner, (*conditions, condition))
                for fallback in expression.args[:1]:
                    self._note_checks(node, fallback, (*conditions, negate(condition)))
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                if isinstance(place := self.resolve(expression), Place):
                    sent: tuple[Condition, ...] = (("true", place.path),) if place.fallback else ()
                    self._note_check(node, place.path, (*self.conditions, *conditions, *sent))

    def _list_choices(self, node: nodes.CondExpr | nodes.Or | nodes.And) -> Iterator[tuple[nodes.Node, Condition]]:
        """The possible values of the expression with their conditions; of `a and b` only `b`, as `a` is then falsy."""
        if isinstance(node, nodes.CondExpr):
            condition = self.get_condition(node.test)
            yield node.expr1, condition
            if node.expr2 is not None:
                yield node.expr2, negate(condition)
            return
        condition = self.get_condition(node.left)
        if isinstance(node, nodes.Or):
            yield node.left, condition
        yield node.right, condition if isinstance(node, nodes.And) else negate(condition)

    def _get_sent_condition(self, node: nodes.Filter, expression: nodes.Node) -> Condition:
        """The condition under which a default is not used: the value was sent, or with `boolean` is true."""
        flags = [*node.args[1:2], *(keyword.value for keyword in node.kwargs if keyword.key == "boolean")]
        if not flags:
            place = self.resolve(expression)
            return ("defined", place.path) if isinstance(place, Place) else None
        return self.get_condition(expression) if isinstance(flags[0], nodes.Const) and flags[0].value else None

    def _note_check(self, node: nodes.Filter, path: Path, conditions: tuple[Condition, ...]) -> None:
        steps = [_encode_step(step) for step in path]
        when = [_encode(condition, path) for condition in dict.fromkeys(conditions) if not _is_implied(condition, path)]
        if None in steps or None in when:
            return
        check = ValueCheck(
            path=[step for step in steps if step is not None],
            takes="link" if node.name == LINK_FILTER else "style" if node.name == STYLE_FILTER else node.name,
            arguments=self._list_arguments(node, path),
            when=[condition for condition in when if condition is not None],
        )
        self.checks.setdefault(msgspec.json.encode(check), check)

    def _list_arguments(self, node: nodes.Filter, path: Path) -> dict[str, CheckArgument]:
        """The arguments that decide which values are accepted, as far as they are constants or variables."""
        schemes = {} if self.schemes == list(LINK_SCHEMES) else {"schemes": CheckArgument(self.schemes)}
        if node.name == LINK_FILTER:
            follows, image = (argument.as_const() for argument in node.args)
            return ({"image": CheckArgument(value=True)} if image else schemes) | (
                {"follows": CheckArgument(follows)} if follows != ENDS else {}
            )
        if node.name == "safe_url":
            return schemes
        names = CHECKED_ARGUMENTS.get(node.name, ())
        passed: dict[str, nodes.Node] = dict(zip(names, node.args, strict=False))
        passed |= {str(pair.key): pair.value for pair in node.kwargs if pair.key in names}
        arguments = {name: self._build_argument(argument, path) for name, argument in passed.items()}
        return {name: argument for name, argument in arguments.items() if argument is not None}

    def _build_argument(self, node: nodes.Node, path: Path) -> CheckArgument | None:
        if isinstance(node, nodes.Const):
            return CheckArgument(node.value)
        place = self.resolve(node)
        steps = _encode_path(place.path, path) if isinstance(place, Place) and not place.fallback else None
        return None if steps is None else CheckArgument(path=steps)


def _encode_step(step: str | Item) -> str | int | None:
    """A step as a `ValueCheck` has it; None: it is not known which item it is."""
    if not isinstance(step, Item):
        return step
    if not step.is_known:
        return None
    if isinstance(step.which, int):
        return step.which
    return _POSITIONS.get(step.which) if isinstance(step.which, str) else LIST_ITEM


def _encode_path(path: Path, checked: Path) -> list[str | int] | None:
    """The path of another variable; the items of lists that it goes through must be those of the checked one."""
    steps: list[str | int] = []
    for at, step in enumerate(map(_encode_step, path)):
        if step is None or (step == LIST_ITEM and path[: at + 1] != checked[: at + 1]):
            return None
        steps.append(step)
    return steps


def _is_implied(condition: Condition, checked: Path) -> bool:
    """Whether the condition always holds: a list whose item is checked exists and is not empty."""
    if condition is None or condition[0] not in ("true", "defined"):
        return False
    path = condition[1]
    inside = len(path) < len(checked) and checked[: len(path)] == path and isinstance(checked[len(path)], Item)
    return inside or (condition[0] == "defined" and path == checked)


def _encode(condition: Condition, checked: Path) -> list[Any] | None:
    """The condition as a `ValueCheck` has it; None: it cannot be told."""
    if condition is None:
        return None
    kind, *rest = condition
    if kind in ("not", "and", "or"):
        inner = [_encode(part, checked) for part in rest]
        return None if None in inner else [kind, *inner]
    path = _encode_path(rest[0], checked)
    return None if path is None else [kind, path, *rest[1:]]
