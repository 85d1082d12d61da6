"""Checks of a caller's values before a mail is accepted: whether a link can be followed, a date is a date, and so on.

A version's schema lists these checks under `x-checks`. They use the functions of rendering, so that both agree.
What the template alone does not tell is left to rendering, which fails with the same message.
"""

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from notifier.errors import Fault
from notifier.rendering.language import acting, filters
from notifier.rendering.language.filters import ValueRefusedError
from notifier.rendering.language.guarded_calls import take_text
from notifier.rendering.language.link_address import IMAGE_SCHEMES, LINK_SCHEMES, name_schemes
from notifier.rendering.language.public import plain
from notifier.rendering.pointer import ITEM, escape_pointer

KEYWORD: Final = "x-checks"
MOST_CHECKS: Final = 100
"""Checks of one version; others are left to rendering."""
MOST_VALUES: Final = 5_000
"""Values of one request that are checked; others are left to rendering."""

Step = str | int
"""A step of a path: a name, "[]" for each item of a list, or the index of an item."""
Indices = tuple[int, ...]
"""The index of a value in each list of its path."""
Condition = list[Any]
"""`["true", path]`, `["defined", path]`, `["==", path, constant]`, and `not`, `and`, `or` with conditions."""


class Argument(msgspec.Struct, frozen=True, omit_defaults=True):
    """An argument of a filter: a constant or another variable."""

    value: Any = None
    path: list[Step] | None = None


class ValueCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One use of a variable that can fail."""

    path: list[Step]
    takes: str  # a key of `TAKES`
    given: dict[str, Argument] = {}
    when: list[Condition] = []  # the use happens only if all of these hold
    public: bool = False  # typed by strangers: it is cleaned first

    @property
    def is_link(self) -> bool:
        """Whether the variable is the address of a link or an image."""
        return self.takes in _LINKS


_LINKS: Final = ("link", "safe_url")
TAKES: Final[dict[str, Callable[..., object]]] = {
    "link": acting.take_link,
    "safe_url": acting.take_safe_url,
    "style": acting.take_style,
    "date": filters.take_date,
    "time": filters.take_time,
    "datetime": filters.take_datetime,
    "money": filters.take_money,
    "number": partial(filters.take_decimal, "number"),
    "percent": partial(filters.take_decimal, "percent"),
    "plural": partial(filters.take_decimal, "plural"),
    "nl2br": partial(take_text, "nl2br"),
}
ARGUMENTS: Final = {
    "date": ("style", "zone"),
    "time": ("style", "zone"),
    "datetime": ("style", "zone"),
    "money": ("currency",),
}
"""The arguments that decide whether a filter accepts a value, in their order."""
_RIGHT: Final = {
    "style": "medium",
    "date": "2026-01-01T00:00:00Z",
    "time": "2026-01-01T00:00:00Z",
    "datetime": "2026-01-01T00:00:00Z",
    "money": 1,
}
"""A value that the filter accepts, to find out whether its argument is wrong."""
_WANTED: Final = {
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
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {"==": operator.eq, "!=": operator.ne}
_MISSING: Final = object()


class _UnknownError(Exception):
    """It cannot be known whether a condition holds."""


def checks_of(schema: Mapping[str, Any]) -> list[ValueCheck]:
    """The checks in a version's schema; old versions have none."""
    return msgspec.convert(schema.get(KEYWORD, []), list[ValueCheck])


def describe(schema: dict[str, Any], checks: Iterable[ValueCheck], public: Collection[str]) -> None:
    """Write the checks into the schema, and their meaning into the descriptions of the variables."""
    listed: list[ValueCheck] = []
    for check in list(checks)[:MOST_CHECKS]:
        names = [step for step in check.path if isinstance(step, str) and step != ITEM]
        dotted = {".".join(names[:length]) for length in range(1, len(names) + 1)}
        listed.append(msgspec.structs.replace(check, public=bool(dotted & set(public))))
        _explain(schema, listed[-1])
    if listed:
        schema[KEYWORD] = msgspec.to_builtins(listed)


def _explain(schema: dict[str, Any], check: ValueCheck) -> None:
    node: Any = schema
    for step in check.path:
        node = node.get("items", {}) if step == ITEM or isinstance(step, int) else node.get("properties", {}).get(step)
        if not isinstance(node, dict):
            return
    if check.is_link and not check.when and node.get("type") == "string" and "pattern" not in node:
        node["format"] = "uri"
    if check.is_link:
        usual = IMAGE_SCHEMES if "image" in check.given else LINK_SCHEMES
        schemes = check.given.get("schemes", Argument(usual)).value
        what = "an image" if usual is IMAGE_SCHEMES else "a link"
        sentence = f"The address of {what}; it begins with {name_schemes(schemes)}."
    else:
        sentence = f"Shown by “{check.takes}”, which takes {_WANTED[check.takes]}."
    if sentence not in node.get("description", ""):
        node["description"] = f"{node.get('description', '')} {sentence}".strip()


def find_refused_values(checks: Iterable[ValueCheck], variables: Any, *, known: Collection[str]) -> list[Fault]:
    """The values that the template would not accept, each once; `known` pointers have a fault already."""
    faults: dict[str, Fault] = {}
    remaining = MOST_VALUES
    for check in checks:
        for value, indices in _values(variables, check.path):
            remaining -= 1
            if remaining < 0:
                return list(faults.values())
            fault = _find_fault(check, value, variables, indices)
            if fault is not None and fault.pointer not in known:
                faults.setdefault(fault.pointer, fault)
    return list(faults.values())


def _values(variables: Any, path: Sequence[Step]) -> list[tuple[Any, Indices]]:
    """The values at a path, with their indices in its lists."""
    rows: list[tuple[Any, Indices]] = [(variables, ())]
    for step in path:
        if step == ITEM:
            lists = [(value, indices) for value, indices in rows if isinstance(value, list)]
            rows = [(item, (*indices, at)) for items, indices in lists for at, item in enumerate(items)]
        else:
            stepped = [(_step(value, step), indices) for value, indices in rows]
            rows = [row for row in stepped if row[0] is not _MISSING]
    return rows


def _step(value: Any, step: Step) -> Any:
    if isinstance(step, int):
        return value[step] if isinstance(value, list) and -len(value) <= step < len(value) else _MISSING
    return value.get(step, _MISSING) if isinstance(value, dict) else _MISSING


def _at(variables: Any, path: Sequence[Step], indices: Indices) -> Any:
    """The value at a path, with the list indices of the checked value."""
    value, items = variables, iter(indices)
    for step in path:
        value = _step(value, next(items) if step == ITEM else step)
    return value


def _pointer(variables: Any, path: Sequence[Step], indices: Indices) -> str:
    pointer, value, items = "/variables", variables, iter(indices)
    for step in path:
        place = next(items) if step == ITEM else step
        name = str(place % len(value)) if isinstance(place, int) else escape_pointer(place)
        pointer, value = f"{pointer}/{name}", _step(value, place)
    return pointer


def _find_fault(check: ValueCheck, value: Any, variables: Any, indices: Indices) -> Fault | None:
    try:
        if check.when and not all(_holds(condition, variables, indices) for condition in check.when):
            return None
    except (_UnknownError, TypeError):
        return None
    if check.public and isinstance(value, str):
        value = plain(value)
    resolved = {name: _given(argument, variables, indices) for name, argument in check.given.items()}
    arguments = {name: argument for name, argument in resolved.items() if argument is not _MISSING}
    try:
        TAKES[check.takes](value, **arguments)
    except ValueRefusedError as error:
        path = check.path
        for name, argument in check.given.items():
            if argument.path is not None and name in arguments and _is_refused(check, name, arguments[name]):
                path = argument.path
        code = "invalid_link" if check.is_link else "wrong_variable_value"
        return Fault(_pointer(variables, path, indices), code, str(error))
    except Exception:  # noqa: BLE001 - a failing check must not fail the request; rendering reports the error
        return None
    return None


def _given(argument: Argument, variables: Any, indices: Indices) -> Any:
    return argument.value if argument.path is None else _at(variables, argument.path, indices)


def _is_refused(check: ValueCheck, name: str, argument: Any) -> bool:
    """Whether the filter refuses the argument for any value."""
    try:
        TAKES[check.takes](_RIGHT[check.takes], **{name: argument})
    except ValueRefusedError:
        return True
    return False


def _holds(condition: Condition, variables: Any, indices: Indices) -> bool:
    """Whether a condition of the template holds, as in Jinja."""
    kind = condition[0]
    if kind == "not":
        return not _holds(condition[1], variables, indices)
    if kind == "and":
        return all(_holds(inner, variables, indices) for inner in condition[1:])
    if kind == "or":
        return any(_holds(inner, variables, indices) for inner in condition[1:])
    value = _at(variables, condition[1], indices)
    if kind == "defined":
        return value is not _MISSING
    if kind == "true":
        return value is not _MISSING and bool(value)
    if value is _MISSING:
        raise _UnknownError
    return _COMPARE[kind](value, condition[2])
