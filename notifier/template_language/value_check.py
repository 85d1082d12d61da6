"""Checks of a caller's values before a mail is accepted: whether a link can be followed, whether a date is valid.

A version's schema lists these checks under `x-checks`. They use the functions of rendering, so that both agree. What
the template alone does not determine is left to rendering, which fails with the same message.
"""

import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from notifier.errors import Fault, escape_pointer
from notifier.template_language import context_filters, filters
from notifier.template_language.context_filters import IMAGE_SCHEMES, LINK_SCHEMES, name_schemes
from notifier.template_language.filters import ValueRefusedError
from notifier.template_language.guarded_calls import convert_text
from notifier.template_language.template_values import clean_text

LIST_ITEM: Final = "[]"
"""In a path: any item of a list."""
PathStep = str | int
"""A step of a path: a name, "[]" for each item of a list, or the index of an item."""
ItemIndices = tuple[int, ...]
"""The index of a value in each list of its path."""
CHECKS_KEYWORD: Final = "x-checks"
MAX_CHECKS: Final = 100
"""Checks of one version; others are left to rendering."""
MAX_CHECKED_VALUES: Final = 5_000
"""Values of one request that are checked; others are left to rendering."""

CheckCondition = list[Any]
"""`["true", path]`, `["defined", path]`, `["==", path, constant]`, and `not`, `and`, `or` with conditions."""
Condition = tuple[Any, ...] | None
"""A `CheckCondition` while the template is read, with its paths; None: the condition is not known."""


class CheckArgument(msgspec.Struct, frozen=True, omit_defaults=True):
    """An argument of a filter: a constant or another variable."""

    value: Any = None
    path: list[PathStep] | None = None


class ValueCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One use of a variable that can fail."""

    path: list[PathStep]
    takes: str  # a key of `VALUE_PARSERS`
    arguments: dict[str, CheckArgument] = msgspec.field(name="given", default_factory=dict)
    when: list[CheckCondition] = []  # the use happens only if all of these hold
    public: bool = False  # typed by strangers: it is cleaned first

    @property
    def is_link(self) -> bool:
        """Whether the variable is the address of a link or an image."""
        return self.takes in _LINK_PARSERS


_LINK_PARSERS: Final = ("link", "safe_url")
VALUE_PARSERS: Final[dict[str, Callable[..., object]]] = {
    "link": context_filters.check_link,
    "safe_url": context_filters.parse_safe_url,
    "style": context_filters.check_style,
    "date": filters.parse_date,
    "time": filters.parse_time,
    "datetime": filters.parse_datetime,
    "money": filters.parse_money,
    "number": partial(filters.parse_decimal, "number"),
    "percent": partial(filters.parse_decimal, "percent"),
    "plural": partial(filters.parse_decimal, "plural"),
    "nl2br": partial(convert_text, "nl2br"),
}
CHECKED_ARGUMENTS: Final = {
    "date": ("style", "zone"),
    "time": ("style", "zone"),
    "datetime": ("style", "zone"),
    "money": ("currency",),
}
"""The arguments that decide whether a filter accepts a value, in their order."""
_ACCEPTED_VALUES: Final = {
    "style": "medium",
    "date": "2026-01-01T00:00:00Z",
    "time": "2026-01-01T00:00:00Z",
    "datetime": "2026-01-01T00:00:00Z",
    "money": 1,
}
"""A value that the filter accepts, to find out whether its argument is wrong."""
_EXPECTED: Final = {
    "style": "one value of CSS",
    "date": 'a date such as "2026-03-09", or "2026-03-09T14:30:00Z"',
    "time": 'a time such as "14:30", or "2026-03-09T14:30:00Z"',
    "datetime": 'a date with a time, such as "2026-03-09T14:30:00Z"',
    "money": 'a number, or one in a text, such as "12.50"',
    "number": 'a number, or one in a text, such as "12.50"',
    "percent": 'a number, or one in a text, such as "0.25"',
    "plural": "a number, or one in a text",
    "nl2br": "a text",
}
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {"==": operator.eq, "!=": operator.ne}
_MISSING: Final = object()


class _UnknownConditionError(Exception):
    """It cannot be known whether a condition holds."""


def negate_condition(condition: Condition) -> Condition:
    """The condition that holds where this one does not."""
    return None if condition is None else ("not", condition)


def list_implied_paths(condition: Condition, *, holds: bool = True) -> Iterator[Any]:
    """The paths that exist if the condition holds, or if it does not."""
    if condition is None:
        return
    kind, *rest = condition
    if kind == "not":
        yield from list_implied_paths(rest[0], holds=not holds)
    elif kind in ("and", "or"):
        left, right = ({*list_implied_paths(inner, holds=holds)} for inner in rest)
        yield from left | right if holds is (kind == "and") else left & right
    elif kind in ("true", "defined") and holds:
        yield rest[0]


def read_checks(schema: Mapping[str, Any]) -> list[ValueCheck]:
    """The checks in a version's schema; old versions have none."""
    return msgspec.convert(schema.get(CHECKS_KEYWORD, []), list[ValueCheck])


def add_checks(schema: dict[str, Any], checks: Iterable[ValueCheck], public: Collection[str]) -> None:
    """Write the checks into the schema, and their meaning into the descriptions of the variables."""
    listed: list[ValueCheck] = []
    for check in list(checks)[:MAX_CHECKS]:
        names = [step for step in check.path if isinstance(step, str) and step != LIST_ITEM]
        dotted = {".".join(names[:length]) for length in range(1, len(names) + 1)}
        listed.append(msgspec.structs.replace(check, public=bool(dotted & set(public))))
        _describe_check(schema, listed[-1])
    if listed:
        schema[CHECKS_KEYWORD] = msgspec.to_builtins(listed)


def _describe_check(schema: dict[str, Any], check: ValueCheck) -> None:
    node: Any = schema
    for step in check.path:
        node = (
            node.get("items", {})
            if step == LIST_ITEM or isinstance(step, int)
            else node.get("properties", {}).get(step)
        )
        if not isinstance(node, dict):
            return
    if check.is_link and not check.when and node.get("type") == "string" and "pattern" not in node:
        node["format"] = "uri"
    if check.is_link:
        usual = IMAGE_SCHEMES if "image" in check.arguments else LINK_SCHEMES
        schemes = check.arguments.get("schemes", CheckArgument(usual)).value
        what = "an image" if usual is IMAGE_SCHEMES else "a link"
        sentence = f"The address of {what}; it begins with {name_schemes(schemes)}."
    else:
        sentence = f"Shown by “{check.takes}”, which takes {_EXPECTED[check.takes]}."
    if sentence not in node.get("description", ""):
        node["description"] = f"{node.get('description', '')} {sentence}".strip()


def find_refused_values(checks: Iterable[ValueCheck], variables: Any, *, known: Collection[str]) -> list[Fault]:
    """The values that the template would not accept, each once; `known` pointers have a fault already."""
    faults: dict[str, Fault] = {}
    remaining = MAX_CHECKED_VALUES
    for check in checks:
        for _, value, indices in _locate_values(variables, check.path):
            remaining -= 1
            if remaining < 0:
                return list(faults.values())
            fault = _find_value_fault(check, value, variables, indices)
            if fault is not None and fault.pointer not in known:
                faults.setdefault(fault.pointer, fault)
    return list(faults.values())


def find_values(variables: Any, path: Sequence[PathStep], pointer: str = "") -> Iterator[tuple[str, Any]]:
    """The values at a path with their JSON pointers; "[]" stands for all items of a list."""
    return ((pointer, value) for pointer, value, _ in _locate_values(variables, path, pointer))


def _locate_values(
    variables: Any, path: Sequence[PathStep], pointer: str = "", indices: ItemIndices = ()
) -> Iterator[tuple[str, Any, ItemIndices]]:
    """The values at a path with pointers, and the index of each value in the lists that "[]" stands for."""
    if not path:
        yield pointer, variables, indices
        return
    step, rest = path[0], path[1:]
    if step == LIST_ITEM:
        for index, item in enumerate(variables if isinstance(variables, list) else ()):
            yield from _locate_values(item, rest, f"{pointer}/{index}", (*indices, index))
    elif isinstance(step, int):
        if isinstance(variables, list) and -len(variables) <= step < len(variables):
            yield from _locate_values(variables[step], rest, f"{pointer}/{step % len(variables)}", indices)
    elif isinstance(variables, Mapping) and step in variables:
        yield from _locate_values(variables[step], rest, f"{pointer}/{escape_pointer(step)}", indices)


def _locate_value(variables: Any, path: Sequence[PathStep], indices: ItemIndices) -> tuple[str, Any]:
    """The pointer and value at a path, for these list indices; `_MISSING` if there is none."""
    items = iter(indices)
    steps = [next(items) if step == LIST_ITEM else step for step in path]
    return next(find_values(variables, steps, "/variables"), ("", _MISSING))


def _find_value_fault(check: ValueCheck, value: Any, variables: Any, indices: ItemIndices) -> Fault | None:
    try:
        if check.when and not all(_does_hold(condition, variables, indices) for condition in check.when):
            return None
    except (_UnknownConditionError, TypeError):
        return None
    if check.public and isinstance(value, str):
        value = clean_text(value)
    resolved = {name: _resolve_argument(argument, variables, indices) for name, argument in check.arguments.items()}
    arguments = {name: argument for name, argument in resolved.items() if argument is not _MISSING}
    try:
        VALUE_PARSERS[check.takes](value, **arguments)
    except ValueRefusedError as error:
        path = check.path
        for name, argument in check.arguments.items():
            if argument.path is not None and name in arguments and _is_refused(check, name, arguments[name]):
                path = argument.path
        code = "invalid_link" if check.is_link else "wrong_variable_value"
        return Fault(_locate_value(variables, path, indices)[0], code, str(error))
    except Exception:  # noqa: BLE001 - a failing check must not fail the request; rendering reports the error
        return None
    return None


def _resolve_argument(argument: CheckArgument, variables: Any, indices: ItemIndices) -> Any:
    return argument.value if argument.path is None else _locate_value(variables, argument.path, indices)[1]


def _is_refused(check: ValueCheck, name: str, argument: Any) -> bool:
    """Whether the filter refuses the argument for any value."""
    try:
        VALUE_PARSERS[check.takes](_ACCEPTED_VALUES[check.takes], **{name: argument})
    except ValueRefusedError:
        return True
    return False


def _does_hold(condition: CheckCondition, variables: Any, indices: ItemIndices) -> bool:
    """Whether a condition of the template holds, with the rules of Jinja."""
    kind = condition[0]
    if kind == "not":
        return not _does_hold(condition[1], variables, indices)
    if kind == "and":
        return all(_does_hold(inner, variables, indices) for inner in condition[1:])
    if kind == "or":
        return any(_does_hold(inner, variables, indices) for inner in condition[1:])
    value = _locate_value(variables, condition[1], indices)[1]
    if kind == "defined":
        return value is not _MISSING
    if kind == "true":
        return value is not _MISSING and bool(value)
    if value is _MISSING:
        raise _UnknownConditionError
    return _COMPARISONS[kind](value, condition[2])
