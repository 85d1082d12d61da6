"""What a template does with the caller's values that can go wrong: links, styles, dates, amounts; and when it does so.

A check is noted only if value and conditions can be told from the template alone, so that none refuses a good mail.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from jinja2 import nodes

from notifier.rendering.language.acting import LINK, STYLE
from notifier.rendering.language.link_address import ENDS, LINK_SCHEMES
from notifier.rendering.pointer import ITEM
from notifier.rendering.value_check import ARGUMENTS, MOST_CHECKS, TAKES, Argument, ValueCheck
from notifier.rendering.walk.place import Condition, Item, Path, Place, negate
from notifier.rendering.walk.reading import ESCAPES, Reading

_POSITIONS = {"first": 0, "last": -1}


@dataclass
class Checking(Reading):
    """Notes what is done with values, and under which conditions."""

    schemes: list[str] = field(default_factory=list)  # that links may have
    checks: dict[bytes, ValueCheck] = field(default_factory=dict)

    def read_filter(self, node: nodes.Filter) -> None:
        """Note also what values the filter takes."""
        super().read_filter(node)
        if node.node is not None and (node.name in TAKES or node.name in (LINK, STYLE)):
            self._note_checks(node, node.node, ())

    def _note_checks(self, node: nodes.Filter, expression: nodes.Node, conditions: tuple[Condition, ...]) -> None:
        """Note what the filter does with each variable that the expression may come to."""
        self.step()
        if len(self.checks) >= MOST_CHECKS:
            return
        match expression:
            case nodes.CondExpr() | nodes.Or() | nodes.And():
                for inner, condition in self._list_choices(expression):
                    self._note_checks(node, inner, (*conditions, condition))
            case nodes.Filter(node=nodes.Expr() as inner) if expression.name in ESCAPES:
                self._note_checks(node, inner, conditions)
            case nodes.Filter(node=nodes.Expr() as inner) if expression.name in ("default", "d"):
                condition = self._sent(expression, inner)
                self._note_checks(node, inner, (*conditions, condition))
                for fallback in expression.args[:1]:
                    self._note_checks(node, fallback, (*conditions, negate(condition)))
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                if isinstance(place := self.resolve(expression), Place):
                    sent: tuple[Condition, ...] = (("true", place.path),) if place.fallback else ()
                    self._note_check(node, place.path, (*self.conditions, *conditions, *sent))

    def _list_choices(self, node: nodes.CondExpr | nodes.Or | nodes.And) -> Iterator[tuple[nodes.Node, Condition]]:
        """What the expression may come to, and when; of `a and b` only `b` can be shown."""
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

    def _sent(self, node: nodes.Filter, expression: nodes.Node) -> Condition:
        """When a default does not apply: the value was sent, or is true if the filter asks for that."""
        flags = [*node.args[1:2], *(keyword.value for keyword in node.kwargs if keyword.key == "boolean")]
        if not flags:
            place = self.resolve(expression)
            return ("defined", place.path) if isinstance(place, Place) else None
        return self.get_condition(expression) if isinstance(flags[0], nodes.Const) and flags[0].value else None

    def _note_check(self, node: nodes.Filter, path: Path, conditions: tuple[Condition, ...]) -> None:
        steps = [_encode_step(step) for step in path]
        when = [_encode(condition, path) for condition in dict.fromkeys(conditions) if not _is_plain(condition, path)]
        if None in steps or None in when:
            return
        check = ValueCheck(
            path=[step for step in steps if step is not None],
            takes="link" if node.name == LINK else "style" if node.name == STYLE else node.name,
            given=self._given(node, path),
            when=[condition for condition in when if condition is not None],
        )
        self.checks.setdefault(msgspec.json.encode(check), check)

    def _given(self, node: nodes.Filter, path: Path) -> dict[str, Argument]:
        """The arguments that decide what can be taken, as far as they are fixed or variables."""
        schemes = {} if self.schemes == list(LINK_SCHEMES) else {"schemes": Argument(self.schemes)}
        if node.name == LINK:
            follows, image = (argument.as_const() for argument in node.args)
            return ({"image": Argument(value=True)} if image else schemes) | (
                {"follows": Argument(follows)} if follows != ENDS else {}
            )
        if node.name == "safe_url":
            return schemes
        names = ARGUMENTS.get(node.name, ())
        passed: dict[str, nodes.Node] = dict(zip(names, node.args, strict=False))
        passed |= {str(pair.key): pair.value for pair in node.kwargs if pair.key in names}
        arguments = {name: self._argument(argument, path) for name, argument in passed.items()}
        return {name: argument for name, argument in arguments.items() if argument is not None}

    def _argument(self, node: nodes.Node, path: Path) -> Argument | None:
        if isinstance(node, nodes.Const):
            return Argument(node.value)
        place = self.resolve(node)
        steps = _encode_path(place.path, path) if isinstance(place, Place) and not place.fallback else None
        return None if steps is None else Argument(path=steps)


def _encode_step(step: str | Item) -> str | int | None:
    """A step as a `ValueCheck` has it; None: it is not known which item it is."""
    if not isinstance(step, Item):
        return step
    if not step.is_known:
        return None
    if isinstance(step.which, int):
        return step.which
    return _POSITIONS.get(step.which) if isinstance(step.which, str) else ITEM


def _encode_path(path: Path, checked: Path) -> list[str | int] | None:
    """The path of another variable; the items of lists that it goes through must be those of the checked one."""
    steps: list[str | int] = []
    for at, step in enumerate(map(_encode_step, path)):
        if step is None or (step == ITEM and path[: at + 1] != checked[: at + 1]):
            return None
        steps.append(step)
    return steps


def _is_plain(condition: Condition, checked: Path) -> bool:
    """Whether it holds of itself: there is a list that one of its items is looked at of."""
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
