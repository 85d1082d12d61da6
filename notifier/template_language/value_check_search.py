"""Find the value checks of a template: where it uses a caller's values in a way that can fail, and when.

A check is noted only if the template alone determines its value and conditions, so that no check refuses a good mail.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from jinja2 import nodes

from notifier.template_language.context_filters import ENDS, LINK_FILTER, LINK_SCHEMES, STYLE_FILTER
from notifier.template_language.expression_walk import ESCAPES, ExpressionWalk, LoopItem, Path, Place
from notifier.template_language.value_check import (
    CHECKED_ARGUMENTS,
    LIST_ITEM,
    MAX_CHECKS,
    VALUE_PARSERS,
    CheckArgument,
    Condition,
    ValueCheck,
    negate_condition,
)

_PARSER_NAMES = {LINK_FILTER: "link", STYLE_FILTER: "style"}


@dataclass
class ValueCheckWalk(ExpressionWalk):
    """An expression walk that also notes the value checks."""

    schemes: list[str] = field(default_factory=list)  # of links
    checks: dict[bytes, ValueCheck] = field(default_factory=dict)

    def read_filter(self, node: nodes.Filter) -> None:
        """Note also the checks of a filter that does not accept every value."""
        super().read_filter(node)
        if node.node is not None and _PARSER_NAMES.get(node.name, node.name) in VALUE_PARSERS:
            self._note_checks(node, node.node, self.conditions)

    def _note_checks(self, node: nodes.Filter, expression: nodes.Node, conditions: tuple[Condition, ...]) -> None:
        """Note a check for each variable that can be the value of the expression."""
        self.count_step()
        if isinstance(expression, nodes.Name | nodes.Getattr | nodes.Getitem):
            if isinstance(place := self.resolve_expression(expression), Place):
                sent: tuple[Condition, ...] = (("true", place.path),) if place.fallback else ()
                self._note_check(node, place.path, (*conditions, *sent))
            return
        for choice, *added in self._list_choices(expression):
            self._note_checks(node, choice, (*conditions, *added))

    def _list_choices(self, node: nodes.Node) -> list[tuple[Any, ...]]:
        """The expressions whose value the expression can have, each followed by the conditions for that."""
        match node:
            case nodes.CondExpr(test=test, expr1=first, expr2=second):
                condition = self.get_condition(test)
                return [(first, condition), (second or nodes.Const(None), negate_condition(condition))]
            case nodes.Or(left=left, right=right):
                condition = self.get_condition(left)
                return [(left, condition), (right, negate_condition(condition))]
            case nodes.And(left=left, right=right):  # if it is `left`, that is empty
                return [(right, self.get_condition(left))]
            case nodes.Filter(node=nodes.Expr() as inner, name=name) if name in ESCAPES:
                return [(inner,)]
            case nodes.Filter(node=nodes.Expr() as inner, name="default" | "d", args=arguments):
                condition = self._get_sent_condition(node, inner)
                return [(inner, condition), *((other, negate_condition(condition)) for other in arguments[:1])]
        return []

    def _get_sent_condition(self, node: nodes.Filter, expression: nodes.Node) -> Condition:
        """The condition under which a default is not used: the value was sent, or with `boolean` it is true."""
        flags = [*node.args[1:2], *(keyword.value for keyword in node.kwargs if keyword.key == "boolean")]
        if flags:
            return self.get_condition(expression) if isinstance(flags[0], nodes.Const) and flags[0].value else None
        place = self.resolve_expression(expression)
        return ("defined", place.path) if isinstance(place, Place) else None

    def _note_check(self, node: nodes.Filter, path: Path, conditions: tuple[Condition, ...]) -> None:
        when = [
            _encode_condition(condition, path)
            for condition in dict.fromkeys(conditions)
            if not _is_implied(condition, path)
        ]
        if None in when or len(self.checks) >= MAX_CHECKS:
            return
        check = ValueCheck(
            path=_encode_path(path, path) or [],
            takes=_PARSER_NAMES.get(node.name, node.name),
            arguments=self._list_arguments(node, path),
            when=[condition for condition in when if condition is not None],
        )
        self.checks.setdefault(msgspec.json.encode(check), check)

    def _list_arguments(self, node: nodes.Filter, path: Path) -> dict[str, CheckArgument]:
        """The arguments that decide which values are accepted, if they are constants or variables."""
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
        place = self.resolve_expression(node)
        steps = _encode_path(place.path, path) if isinstance(place, Place) and not place.fallback else None
        return None if steps is None else CheckArgument(path=steps)


def _encode_path(path: Path, checked: Path) -> list[str | int] | None:
    """The path of a variable as in a `ValueCheck`; None if it goes through the loop of another list."""
    if any(isinstance(step, LoopItem) and path[: at + 1] != checked[: at + 1] for at, step in enumerate(path)):
        return None
    return [LIST_ITEM if isinstance(step, LoopItem) else step for step in path]


def _is_implied(condition: Condition, checked: Path) -> bool:
    """Whether the condition always holds: a list whose item is checked exists and is not empty."""
    if condition is None or condition[0] not in ("true", "defined"):
        return False
    path = condition[1]
    is_list = checked[: len(path)] == path and any(not isinstance(step, str) for step in checked[len(path) :][:1])
    return is_list or (condition[0] == "defined" and path == checked)


def _encode_condition(condition: Condition, checked: Path) -> list[Any] | None:
    """The condition as in a `ValueCheck`; None if it is not known."""
    if condition is None:
        return None
    kind, *rest = condition
    if kind in ("not", "and", "or"):
        inner = [_encode_condition(part, checked) for part in rest]
        return None if None in inner else [kind, *inner]
    path = _encode_path(rest[0], checked)
    return None if path is None else [kind, path, *rest[1:]]
