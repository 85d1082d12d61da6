"""Which styles hide an element from readers: the ways in which mails hide the line that an inbox shows."""

import re
from collections.abc import Mapping
from typing import Final

_LENGTH = re.compile(r"(-?\d*\.?\d+)(px|pt|em|rem|%|vw|vh|ch)?")
_TINY: Final = 1.0  # CSS pixels; text of this size cannot be read
_FAR: Final = -999.0  # pixels, em or per cent: outside of any window
_NOTHING_LEFT = re.compile(r"rect\((?:[01](?:px)?[, ]*){4}\)|inset\((?:50|100)%.*\)|scale\(0[,)].*|scale[xy]\(0\)")


def is_hidden_by_style(declarations: Mapping[str, str]) -> bool:
    """Whether an element with these declarations (property in lower case → value) is not seen, nor what is in it."""
    style = {name: value.lower().partition("!")[0].strip() for name, value in declarations.items()}
    return (
        style.get("display") == "none"
        or style.get("visibility") in ("hidden", "collapse")
        or _is_zero(style.get("opacity"))
        or _is_clipped(style)
        or _is_tiny(style.get("font-size"))
        or _is_far_away(style)
        or _has_no_colour(style)
        or (style.get("mso-hide") == "all" and _is_tiny(style.get("line-height")))
    )


def _number(value: str | None) -> float | None:
    found = _LENGTH.fullmatch(value or "")
    return float(found[1]) if found else None


def _is_zero(value: str | None) -> bool:
    return _number(value) == 0


def _is_tiny(value: str | None) -> bool:
    found = _LENGTH.fullmatch(value or "")
    if not found:
        return False
    return float(found[1]) == 0 or (found[2] in ("px", "pt") and 0 < float(found[1]) <= _TINY)


def _is_clipped(style: Mapping[str, str]) -> bool:
    """A box without height or width that shows nothing of what overflows, or one of which nothing is cut out."""
    hides = any(style.get(name) in ("hidden", "clip") for name in ("overflow", "overflow-x", "overflow-y"))
    sizes = (style.get(name) for name in ("max-height", "height", "max-width", "width"))
    if hides and any(_is_tiny(size) for size in sizes):
        return True
    return any(_NOTHING_LEFT.fullmatch(style.get(name, "")) for name in ("clip", "clip-path", "transform"))


def _is_far_away(style: Mapping[str, str]) -> bool:
    """Moved out of the window."""
    moved = ["text-indent", "margin-left", "margin-top"]
    if style.get("position") in ("absolute", "fixed", "relative"):
        moved += ["left", "top", "right", "bottom"]
    return any((_number(style.get(name)) or 0) <= _FAR for name in moved)


def _has_no_colour(style: Mapping[str, str]) -> bool:
    """Text that cannot be told from what is behind it."""
    colour, behind = style.get("color"), style.get("background-color") or style.get("background")
    return colour == "transparent" or (colour is not None and colour == behind and colour != "inherit")
