"""Columns of a text part: text made as wide as its column, in one step instead of a loop over blanks."""

from typing import Any

from jinja2.exceptions import FilterArgumentError

WIDEST = 200


def left(value: Any, width: int) -> str:
    """The text with blanks behind it, `width` characters wide at least; longer text is not cut: it pushes on."""
    return str(value).ljust(_within(width))


def right(value: Any, width: int) -> str:
    """The same with the blanks before it."""
    return str(value).rjust(_within(width))


def _within(width: Any) -> int:
    if not isinstance(width, int) or not 0 <= width <= WIDEST:
        raise FilterArgumentError(f"a column is 0 to {WIDEST} characters wide")
    return width
