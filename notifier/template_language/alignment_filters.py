"""Columns of a text part: text made as wide as its column, in one step instead of a loop over blanks."""

from typing import Any

from notifier.template_language.value_methods import MisusedError

MAX_COLUMN_WIDTH = 200


def align_left(value: Any, width: int) -> str:
    """The text with blanks behind it, `width` characters wide at least; longer text is not cut: it pushes on."""
    return str(value).ljust(_check_width("left", width))


def align_right(value: Any, width: int) -> str:
    """The same with the blanks before it."""
    return str(value).rjust(_check_width("right", width))


def _check_width(name: str, width: Any) -> int:
    if not isinstance(width, int) or not 0 <= width <= MAX_COLUMN_WIDTH:
        raise MisusedError(name, f"a column is 0 to {MAX_COLUMN_WIDTH} characters wide.", f"Write it so: {name}(20).")
    return width
