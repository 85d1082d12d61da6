"""Compute the style of an element that its text depends on: its box, its white space, whether it is seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from notifier.mail.plain_text.visibility import has_side_space, is_out_of_flow, is_removed, is_tiny, is_transparent

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
    is_rendered: bool = True  # if not, nothing in it is seen, whatever that says
    is_visible: bool = True  # what stands in it may say otherwise, here and in the next two
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
        """Whether the letters of a text right in this element are seen."""
        return self.is_visible and not self.is_tiny and not self.is_transparent


ROOT_STYLE: Final = ComputedStyle(display="block")


def compute_style(tag: str, values: Mapping[str, str], *, is_hidden: bool, parent: ComputedStyle) -> ComputedStyle:
    """Compute an element's style from its cascaded values; `is_hidden`: an attribute hides it, if no style shows it."""
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
