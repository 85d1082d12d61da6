"""Filters that align text in the columns of a text part."""

from typing import Any

from notifier.template_language.value_methods import MisusedError

MAX_COLUMN_WIDTH = 200


def align_left(value: Any, width: int) -> str:
    """Pad the text with blanks on its right to `width` characters; longer text is not cut."""
    return str(value).ljust(_check_width("left", width))


def align_right(value: Any, width: int) -> str:
    """Pad the text with blanks on its left to `width` characters; longer text is not cut."""
    return str(value).rjust(_check_width("right", width))


def _check_width(name: str, width: Any) -> int:
    if not isinstance(width, int) or not 0 <= width <= MAX_COLUMN_WIDTH:
        raise MisusedError(
            name, f"a column is 0 to {MAX_COLUMN_WIDTH} characters wide.", f"Write, for example: {name}(20)."
        )
    return width
