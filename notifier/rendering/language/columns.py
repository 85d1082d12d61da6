"""Columns of a text part: text made as wide as its column, in one step instead of a loop over blanks."""

from typing import Any

from notifier.rendering.language.methods import MisusedError

WIDEST = 200


def left(value: Any, width: int) -> str:
    """The text with blanks behind it, `width` characters wide at least; longer text is not cut: it pushes on."""
    return str(value).ljust(_within("left", width))


def right(value: Any, width: int) -> str:
    """The same with the blanks before it."""
    return str(value).rjust(_within("right", width))


def _within(name: str, width: Any) -> int:
    if not isinstance(width, int) or not 0 <= width <= WIDEST:
        raise MisusedError(name, f"a column is 0 to {WIDEST} characters wide.", f"Write it so: {name}(20).")
    return width
