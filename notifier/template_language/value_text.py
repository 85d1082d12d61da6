"""How a value is written in a mail: in the words of JSON, never in those of Python.

Text stays as it is. Null is nothing, a list is its items with commas, an object is its names and values. Anything
else, such as a macro without its brackets, raises `NotShowableError`.
"""

import math
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from decimal import Decimal
from typing import Any, Final, NamedTuple

from jinja2.environment import TemplateModule
from jinja2.runtime import LoopContext, Undefined

_SMALLEST, _LARGEST = 1e-15, 1e24
"""A number between these is written with all its digits; others have an exponent."""
_RAW_KINDS: Final[dict[type, str]] = {
    bool: "true or false",
    type(None): "nothing (null)",
    list: "a list",
    tuple: "a list",
    dict: "an object",
}
_LIST_TYPES: Final = (list, tuple, range, Iterator, KeysView, ValuesView, ItemsView)


class RawValue(NamedTuple):
    """A place where a template shows a value that is neither text nor a number."""

    file: str
    line: int
    expression: str  # in the braces, if it is a simple name; else empty
    kind: str  # "a list"


class NotShowableError(Exception):
    """A template shows something that is no value, such as a macro."""

    name = ""  # the expression, if it is known

    def __init__(self, message: str, advice: str) -> None:
        self.message, self.advice = message, advice
        super().__init__(f"{message} {advice}")


def get_raw_kind(value: Any) -> str:
    """The kind of value, if it is neither text nor a number; else an empty text."""
    return _RAW_KINDS.get(type(value), "")


def format_value(value: Any) -> str:
    """The value as text of a mail; escaped text stays marked as such. Raises `NotShowableError`."""
    if isinstance(value, str):
        return value
    if isinstance(value, TemplateModule):  # a file that was imported is what it writes
        return value.__html__()
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if isinstance(value, (int, Undefined)):
        return str(value)  # raises for what is undefined
    return _write_number(value) if isinstance(value, float) else _write_many(value)


def _write_many(value: Any) -> str:
    """A list or an object."""
    if isinstance(value, dict):
        return ", ".join(f"{format_value(name)}: {format_value(inner)}" for name, inner in value.items())
    if isinstance(value, _LIST_TYPES) and not isinstance(value, LoopContext):
        return ", ".join(map(format_value, value))
    raise _not_showable(value)


def _write_number(value: float) -> str:
    """A number without an exponent, rounded to 15 digits, so that 0.1 + 0.2 is 0.3."""
    if not math.isfinite(value):
        raise NotShowableError("this number is too large to be written.", "Let the caller send the result.")
    if value and not _SMALLEST <= abs(value) < _LARGEST:
        return repr(value)
    return format(Decimal(format(value, ".15g")), "f").removeprefix("-" if value == 0 else "")


def _not_showable(value: Any) -> NotShowableError:
    if isinstance(value, LoopContext):
        return NotShowableError("“loop” cannot be shown.", "Show one of its values, such as loop.index.")
    return NotShowableError(
        "this is a macro, a block or a function, and no value.",
        'Write brackets behind its name, as in {{ ui.button("Open", url) }}, or the name of a value.',
    )
