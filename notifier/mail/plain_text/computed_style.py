"""Compute the style of an element that its text depends on: its box, its white space, whether it is seen.

The list of declarations that hide text is in docs/templates.md. Where a browser shows text all the same, it counts as
shown: `max-height: 0` does not cut a `<span>` or a `<td>`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
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
_NUMBER_WITH_UNIT: Final = re.compile(r"([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?)([a-z]*|%)")
_PIXELS: Final = {"px": 1.0, "em": 16.0, "rem": 16.0, "pt": 4 / 3}
_CLIPPED_AWAY: Final = re.compile(r"rect\((?:[01](?:px)?[ ,]*){4}\)|inset\((?:50|100)%.*\)|circle\(0.*\)")
_SCALED_AWAY: Final = re.compile(r"scale[xy]?\( ?0 ?[,)]")
_CUT: Final = ("hidden", "clip", "scroll", "auto")
_FAR_AWAY: Final = -999.0  # pixels; text that is moved so far is meant to be invisible
_MAX_HIDDEN: Final = 1.0  # pixels of a box or of letters that cannot be read
_MIN_SPACE: Final = 4.0  # pixels beside a word that keep it apart from the next one
_RELATIVE: Final = frozenset({"em", "%", "ex", "ch", "lh"})
_SIZES: Final = frozenset(
    {"xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large", "xxx-large", "initial"}
)


def is_removed(display: str, values: Mapping[str, str]) -> bool:
    """Whether an element with everything in it is not rendered, cut away, or moved out of sight."""
    if display in _NOT_RENDERED or values.get("content-visibility") == "hidden":
        return True
    opacity = _NUMBER_WITH_UNIT.fullmatch(values.get("opacity", ""))
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
    """Whether an element is positioned on its own, so that it has a box."""
    return values.get("position") in ("absolute", "fixed")


def is_tiny(size: str, *, inherited: bool) -> bool:
    """Whether a font size is too small to be read."""
    number = _NUMBER_WITH_UNIT.fullmatch(size)
    if number is None or not (number[2] or float(number[1]) == 0):  # a keyword, calc(), or no size at all
        return inherited and size not in _SIZES
    return _is_invisible_length(size) or (inherited and number[2] in _RELATIVE)


def is_transparent(values: Mapping[str, str], *, inherited: bool) -> bool:
    """Whether letters have no colour; those that show a background count as coloured."""
    if "text" in values.get("background-clip", ""):
        return False
    color = values.get("color", "")
    if not color or color in ("inherit", "unset", "currentcolor"):
        return inherited
    parsed = tinycss2.color4.parse_color(color)
    return inherited if parsed is None else bool(parsed.alpha == 0)


def has_side_space(values: Mapping[str, str]) -> bool:
    """Whether an element has space beside it."""
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
    """The right and left of up to four values."""
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
    """A length in pixels; 0 for relative lengths."""
    number = _NUMBER_WITH_UNIT.fullmatch(value)
    return float(number[1]) * _PIXELS.get(number[2], 0.0) if number else 0.0


def _is_invisible_length(value: str) -> bool:
    number = _NUMBER_WITH_UNIT.fullmatch(value)
    return number is not None and (float(number[1]) == 0 or 0 < _parse_pixels(value) <= _MAX_HIDDEN)


_BLOCKS: Final = (
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "dir", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "frameset", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hgroup", "hr", "html", "legend", "listing", "main", "menu", "nav", "ol", "optgroup", "option", "p", "plaintext",
    "pre", "search", "section", "summary", "ul", "xmp",
)  # fmt: skip
_INLINE_BLOCKS: Final = (
    "audio", "button", "canvas", "img", "input", "marquee", "meter", "object", "progress", "rt", "select", "text",
    "textarea", "video",
)  # fmt: skip
_NEVER_SHOWN: Final = (
    "annotation", "annotation-xml", "area", "base", "datalist", "defs", "desc", "frame", "head", "iframe", "link",
    "meta", "metadata", "noembed", "noframes", "param", "script", "source", "style", "symbol", "template", "title",
    "track",
)  # fmt: skip
DISPLAY_OF_TAG: Final[Mapping[str, str]] = {
    **dict.fromkeys(_BLOCKS, "block"),
    **dict.fromkeys(_NEVER_SHOWN, "none"),
    **dict.fromkeys(_INLINE_BLOCKS, "inline-block"),
    **dict.fromkeys(("tbody", "thead", "tfoot"), "table-row-group"),
    "table": "table",
    "tr": "table-row",
    "td": "table-cell",
    "th": "table-cell",
    "caption": "table-caption",
    "li": "list-item",
}
_PREFORMATTED: Final = frozenset({"pre", "listing", "plaintext", "xmp", "textarea"})
_WHITE_SPACE: Final = {"pre-wrap": "pre", "break-spaces": "pre", "nowrap": "normal", "initial": "normal"}
_VISIBILITY: Final = {"visible": True, "initial": True, "hidden": False, "collapse": False}
_CONTROLS: Final = frozenset({"button", "input", "select", "textarea"})
_OWN_COLOR: Final = frozenset({"a", "mark"})
_GRIDS: Final = frozenset({"flex", "inline-flex", "grid", "inline-grid"})


@dataclass(frozen=True, slots=True)
class ComputedStyle:
    """The part of an element's style that its text depends on."""

    display: str
    is_rendered: bool = True  # False: nothing in it is visible
    is_visible: bool = True  # inner elements can override this and the next two
    is_tiny: bool = False
    is_transparent: bool = False
    white_space: str = "normal"  # or `pre`: all blanks stay; or `pre-line`: line ends stay
    has_marker: bool = True  # of a list
    marker: str = ""  # `lower-alpha` and the like; empty: as the list's tag says
    is_raised: bool = False
    is_row: bool = False  # of flexible boxes, side by side
    has_side_space: bool = False  # which keeps a word apart from the next one

    @property
    def shows_text(self) -> bool:
        """Whether text directly in this element is visible."""
        return self.is_visible and not self.is_tiny and not self.is_transparent


ROOT_STYLE: Final = ComputedStyle(display="block")


def compute_style(tag: str, values: Mapping[str, str], *, is_hidden: bool, parent: ComputedStyle) -> ComputedStyle:
    """Compute an element's style from its cascaded values; `is_hidden`: an attribute hides it."""
    display = _get_display(tag, values, parent, is_hidden=is_hidden)
    list_style = values.get("list-style", "")
    is_list = tag in ("ol", "ul", "menu")
    is_control = tag in _CONTROLS
    visibility = values.get("visibility", "")
    return ComputedStyle(
        display=display,
        is_rendered=DISPLAY_OF_TAG.get(tag) != "none" and not is_removed(display, values),
        is_visible=_VISIBILITY.get(visibility, parent.is_visible),
        is_tiny=is_tiny(values.get("font-size", ""), inherited=parent.is_tiny and not is_control),
        is_transparent=is_transparent(
            values, inherited=parent.is_transparent and not is_control and tag not in _OWN_COLOR
        ),
        white_space=_get_white_space(values.get("white-space"), "pre" if tag in _PREFORMATTED else parent.white_space),
        has_marker="none" not in list_style.split() if list_style else is_list or parent.has_marker,
        marker=list_style or ("" if is_list else parent.marker),
        is_raised=tag == "sup" or (parent.is_raised and display == "inline"),
        is_row=display in ("flex", "inline-flex") and not values.get("flex-direction", "").startswith("column"),
        has_side_space=has_side_space(values),
    )


def _get_display(tag: str, values: Mapping[str, str], parent: ComputedStyle, *, is_hidden: bool) -> str:
    display = values.get("display", "none" if is_hidden else DISPLAY_OF_TAG.get(tag, "inline"))
    if display in ("initial", "unset"):
        display = "inline"
    is_block = parent.display in _GRIDS or is_out_of_flow(values) or values.get("float") in ("left", "right")
    return "block" if is_block and display.startswith("inline") else display


def _get_white_space(value: str | None, inherited: str) -> str:
    kind = _WHITE_SPACE.get(value, value) if value else inherited
    return kind if kind in ("normal", "pre", "pre-line") else inherited
