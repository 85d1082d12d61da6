"""What an element's style means for its text: whether it is seen, in what kind of box it stands, how its blanks count.

What counts as hidden is decided here, and told to authors in docs/templates.md.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import tinycss2.color4

_BLOCKS: Final = (
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "dir", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "frameset", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hgroup", "hr", "html", "legend", "listing", "main", "menu", "nav", "ol", "optgroup", "option", "p", "plaintext",
    "pre", "search", "section", "summary", "ul", "xmp",
)  # fmt: skip
_INLINE_BLOCKS: Final = ("button", "input", "select", "textarea", "img", "meter", "progress", "marquee", "rt")
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
_TABLE_PARTS: Final = ("table-row", "table-cell", "table-row-group", "table-header-group", "table-footer-group")
_NO_BOX: Final = frozenset({"inline", "contents", *_TABLE_PARTS})
"""Boxes that CSS gives no height of their own, so that nothing is cut off."""
_NUMBER: Final = re.compile(r"([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?)([a-z]*|%)")
_NO_CLIP: Final = re.compile(r"rect\((?:(?:0|1)[a-z]*[ ,]*){4}\)|inset\((?:50|100)%.*\)|circle\(0.*\)")
_GRIDS: Final = frozenset({"flex", "inline-flex", "grid", "inline-grid"})
_FAR_AWAY: Final = -999.0  # pixels; whoever moves text so far means that nobody sees it
_MAX_HIDDEN_SIZE: Final = 1.0  # pixels of a box or of letters that nobody can read


@dataclass(frozen=True, slots=True)
class ComputedStyle:
    """The part of an element's style that its text depends on."""

    display: str
    is_rendered: bool = True  # if not, nothing in it is seen, whatever that says
    is_visible: bool = True  # what stands in it may say otherwise, here and below
    is_tiny: bool = False
    is_transparent: bool = False
    white_space: str = "normal"  # or `pre`: all blanks stay; or `pre-line`: line ends stay
    has_marker: bool = True  # of a list
    marker: str = ""  # `lower-alpha` and the like; empty: as the list's tag says
    is_raised: bool = False
    is_row: bool = False  # of flexible boxes, side by side

    @property
    def shows_text(self) -> bool:
        """Whether the letters of a text right in this element are seen."""
        return self.is_visible and not self.is_tiny and not self.is_transparent


ROOT_STYLE: Final = ComputedStyle(display="block")


def compute_style(tag: str, values: Mapping[str, str], *, is_hidden: bool, parent: ComputedStyle) -> ComputedStyle:
    """The style of an element from its cascaded values; `is_hidden`: it has the attribute `hidden`."""
    display = DISPLAY_OF_TAG.get(tag, "inline")
    is_never_shown = display == "none"
    display = "none" if is_hidden else display
    declared = values.get("display", display)
    display = "inline" if declared in ("initial", "unset") else declared
    if display.startswith("inline") and (
        parent.is_row or parent.display in _GRIDS or _is_out_of_flow(values) or values.get("float") in ("left", "right")
    ):
        display = "block"
    list_style = values.get("list-style", "")
    is_list = tag in ("ol", "ul", "menu")
    return ComputedStyle(
        display=display,
        is_rendered=not (is_never_shown or _is_removed(display, values)),
        is_visible=_inherited(values.get("visibility"), _VISIBILITY, parent.is_visible),
        is_tiny=_is_tiny(values.get("font-size", ""), inherited=parent.is_tiny),
        is_transparent=_is_transparent(values.get("color", ""), inherited=parent.is_transparent),
        white_space=_white_space(values.get("white-space"), "pre" if tag in _PREFORMATTED else parent.white_space),
        has_marker="none" not in list_style.split() if list_style else is_list or parent.has_marker,
        marker=list_style or ("" if is_list else parent.marker),
        is_raised=tag == "sup" or (parent.is_raised and display == "inline"),
        is_row=display in ("flex", "inline-flex") and not values.get("flex-direction", "").startswith("column"),
    )


_VISIBILITY: Final = {"visible": True, "initial": True, "hidden": False, "collapse": False}


def _inherited(value: str | None, meaning: Mapping[str, bool], inherited: bool) -> bool:  # noqa: FBT001 - a value
    return meaning.get(value, inherited) if value else inherited


def _white_space(value: str | None, inherited: str) -> str:
    kind = _WHITE_SPACE.get(value, value) if value else inherited
    return kind if kind in ("normal", "pre", "pre-line") else inherited


def _is_removed(display: str, values: Mapping[str, str]) -> bool:
    """Whether an element is not rendered, or cut away, or moved out of sight, with all that it holds."""
    if display == "none" or values.get("content-visibility") == "hidden":
        return True
    if _amount(values.get("opacity", "")) == 0 or values.get("transform", "").startswith("scale(0)"):
        return True
    if _NO_CLIP.fullmatch(values.get("clip-path", "")):
        return True
    if _is_out_of_flow(values):
        if any(_pixels(values.get(side, "")) <= _FAR_AWAY for side in ("left", "right", "top")):
            return True
        if _NO_CLIP.fullmatch(values.get("clip", "")):
            return True
    return display not in _NO_BOX and (
        _is_cut_off(display, values) or _pixels(values.get("text-indent", "")) <= _FAR_AWAY
    )


def _is_cut_off(display: str, values: Mapping[str, str]) -> bool:
    if values.get("overflow", "visible").split()[0] not in ("hidden", "clip", "scroll", "auto"):
        return False
    if display in ("table", "inline-table"):
        return False
    if any(_is_nothing(values.get(name, "")) for name in ("width", "max-width")):
        return True
    if not _is_nothing(values.get("min-height", "0")):
        return False
    return any(_is_nothing(values.get(name, "")) for name in ("height", "max-height"))


def _is_out_of_flow(values: Mapping[str, str]) -> bool:
    return values.get("position") in ("absolute", "fixed")


def _is_tiny(size: str, *, inherited: bool) -> bool:
    number = _NUMBER.fullmatch(size)
    if number is None or not (number[2] or float(number[1]) == 0):  # a keyword, calc(), or no size at all
        return inherited and size not in _SIZES
    if _is_nothing(size):
        return True
    return inherited and number[2] in ("em", "%", "ex", "ch", "lh")


_SIZES: Final = frozenset(
    {"xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large", "xxx-large", "initial"}
)


def _is_transparent(color: str, *, inherited: bool) -> bool:
    if not color or color in ("inherit", "unset", "currentcolor"):
        return inherited
    parsed = tinycss2.color4.parse_color(color)
    return inherited if parsed is None else parsed != "currentcolor" and parsed.alpha == 0


def _amount(value: str) -> float | None:
    number = _NUMBER.fullmatch(value)
    return float(number[1]) if number else None


def _pixels(value: str) -> float:
    """A length in pixels, where it matters: one that is far from everything; 0 for others."""
    number = _NUMBER.fullmatch(value)
    return float(number[1]) * {"px": 1.0, "em": 16.0, "rem": 16.0}.get(number[2], 0.0) if number else 0.0


def _is_nothing(value: str) -> bool:
    """Whether a length is none that anybody could see."""
    number = _NUMBER.fullmatch(value)
    return number is not None and (
        float(number[1]) == 0 or (number[2] == "px" and 0 < float(number[1]) <= _MAX_HIDDEN_SIZE)
    )
