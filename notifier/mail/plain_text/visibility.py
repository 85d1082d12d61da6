"""Which declarations hide text from everybody. The list for authors is in docs/templates.md.

Where a browser shows text all the same, it counts as shown: `max-height: 0` does not cut a `<span>` or a `<td>`.
"""

import re
from collections.abc import Mapping
from typing import Final

import tinycss2.color4

_WITHOUT_HEIGHT: Final = frozenset(
    {
        "contents", "inline", "inline-table", "table", "table-cell", "table-footer-group", "table-header-group",
        "table-row", "table-row-group",
    }
)  # fmt: skip
"""Boxes that grow with what they hold, so that nothing is cut off."""
_NOT_RENDERED: Final = frozenset({"none", "table-column", "table-column-group"})
_NUMBER: Final = re.compile(r"([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?)([a-z]*|%)")
_PIXELS: Final = {"px": 1.0, "em": 16.0, "rem": 16.0, "pt": 4 / 3}
_CLIPPED_AWAY: Final = re.compile(r"rect\((?:[01](?:px)?[ ,]*){4}\)|inset\((?:50|100)%.*\)|circle\(0.*\)")
_SCALED_AWAY: Final = re.compile(r"scale[xy]?\( ?0 ?[,)]")
_CUT: Final = ("hidden", "clip", "scroll", "auto")
_FAR_AWAY: Final = -999.0  # pixels; whoever moves text so far means that nobody sees it
_MAX_HIDDEN: Final = 1.0  # pixels of a box or of letters that nobody can read
_MIN_SPACE: Final = 4.0  # pixels beside a word that keep it apart from the next one
_RELATIVE: Final = frozenset({"em", "%", "ex", "ch", "lh"})
_SIZES: Final = frozenset(
    {"xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large", "xxx-large", "initial"}
)


def is_removed(display: str, values: Mapping[str, str]) -> bool:
    """Whether an element is not rendered, or cut away, or moved out of sight, with all that it holds."""
    if display in _NOT_RENDERED or values.get("content-visibility") == "hidden":
        return True
    opacity = _NUMBER.fullmatch(values.get("opacity", ""))
    if (opacity and float(opacity[1]) <= 0) or _CLIPPED_AWAY.fullmatch(values.get("clip-path", "")):
        return True
    if values.get("position") in ("absolute", "fixed", "relative") and _is_far_away(values, "left", "right", "top"):
        return True
    if is_out_of_flow(values) and _CLIPPED_AWAY.fullmatch(values.get("clip", "")):
        return True
    if display == "inline":
        return False
    return (
        bool(_SCALED_AWAY.match(values.get("transform", "")))
        or _is_cut_off(display, values)
        or _is_far_away(values, "margin-left", "text-indent")
    )


def is_out_of_flow(values: Mapping[str, str]) -> bool:
    """Whether an element is positioned on its own, and so has a box."""
    return values.get("position") in ("absolute", "fixed")


def is_tiny(size: str, *, inherited: bool) -> bool:
    """Whether a font size leaves nothing that can be read."""
    number = _NUMBER.fullmatch(size)
    if number is None or not (number[2] or float(number[1]) == 0):  # a keyword, calc(), or no size at all
        return inherited and size not in _SIZES
    return _is_invisible_length(size) or (inherited and number[2] in _RELATIVE)


def is_transparent(values: Mapping[str, str], *, inherited: bool) -> bool:
    """Whether letters have no colour; those through which a background is seen have one."""
    if "text" in values.get("background-clip", ""):
        return False
    color = values.get("color", "")
    if not color or color in ("inherit", "unset", "currentcolor"):
        return inherited
    parsed = tinycss2.color4.parse_color(color)
    return inherited if parsed is None else bool(parsed.alpha == 0)


def has_side_space(values: Mapping[str, str]) -> bool:
    """Whether an element keeps a distance from what stands beside it."""
    return any(
        _parse_pixels(side) >= _MIN_SPACE
        for name in ("margin", "padding")
        for side in (
            *_get_horizontal_sides(values.get(name, "")),
            values.get(f"{name}-left", ""),
            values.get(f"{name}-right", ""),
        )
    )


def _get_horizontal_sides(shorthand: str) -> list[str]:
    """Right and left of up to four values."""
    return shorthand.split()[1::2] or shorthand.split()


def _is_far_away(values: Mapping[str, str], *names: str) -> bool:
    return any(_parse_pixels(values.get(name, "")) <= _FAR_AWAY for name in names)


def _is_cut_off(display: str, values: Mapping[str, str]) -> bool:
    if display in _WITHOUT_HEIGHT or values.get("overflow", "visible").split()[0] not in _CUT:
        return False
    if any(_is_invisible_length(values.get(name, "")) for name in ("width", "max-width")):
        return True
    is_low = any(_is_invisible_length(values.get(name, "")) for name in ("height", "max-height"))
    return is_low and _is_invisible_length(values.get("min-height", "0"))


def _parse_pixels(value: str) -> float:
    """A length in pixels; 0 for those that depend on something else."""
    number = _NUMBER.fullmatch(value)
    return float(number[1]) * _PIXELS.get(number[2], 0.0) if number else 0.0


def _is_invisible_length(value: str) -> bool:
    """Whether a length is too small to be seen."""
    number = _NUMBER.fullmatch(value)
    return number is not None and (float(number[1]) == 0 or 0 < _parse_pixels(value) <= _MAX_HIDDEN)
