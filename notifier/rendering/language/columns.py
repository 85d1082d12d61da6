"""Filters that align text in the columns of a text part."""

from typing import Any

from notifier.rendering.language.methods import MisusedError

WIDEST = 200


def left(value: Any, width: int) -> str:
    """Pad the text with blanks on its right to `width` characters; longer text is not cut."""
    return str(value).ljust(_within("left", width))


def right(value: Any, width: int) -> str:
    """Pad the text with blanks on its left to `width` characters; longer text is not cut."""
    return str(value).rjust(_within("right", width))


def _within(name: str, width: Any) -> int:
    if not isinstance(width, int) or not 0 <= width <= WIDEST:
        raise MisusedError(name, f"a column is 0 to {WIDEST} characters wide.", f"Write, for example: {name}(20).")
    return width
