"""The CSS of a mail as rules with their weight, as far as it says what is seen: for a desktop window in light colours.

Rules in `@media` and sheets with a `media` attribute count if they hold there. `@supports`, `@layer` and the like are
ignored, and so is what a rule says about `:hover` or `::before`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import tinycss2

from notifier.mail.css_parser import (
    Specificity,
    count_specificity,
    read_declarations,
    serialize_css,
    split_selectors,
)

MAX_SHEET: Final = 128 * 1024  # characters of all `<style>` elements; what follows is not read
MAX_SELECTOR: Final = 500  # characters; longer ones are not looked for
MAX_VALUE: Final = 300  # characters of a property that matters here
DESKTOP_WIDTH: Final = 1024  # CSS pixels
_DISPLAYS: Final = frozenset(
    {
        "none", "contents", "inline", "block", "inline-block", "list-item", "flow-root", "flex", "inline-flex", "grid",
        "inline-grid", "table", "inline-table", "table-row", "table-cell", "table-caption", "table-row-group",
        "table-header-group", "table-footer-group", "table-column", "table-column-group", "-webkit-box", "initial",
        "unset",
    }
)  # fmt: skip
PROPERTIES: Final = frozenset(
    {
        "background-clip", "clip", "clip-path", "color", "content-visibility", "display", "flex-direction", "float",
        "font-size", "height", "left", "list-style", "margin", "margin-left", "margin-right", "max-height", "max-width",
        "min-height", "opacity", "overflow", "padding", "padding-left", "padding-right", "position", "right",
        "text-indent", "top", "transform", "visibility", "white-space", "width",
    }
)  # fmt: skip
_SAME_AS: Final = {
    "-webkit-background-clip": "background-clip",
    "flex-flow": "flex-direction",
    "list-style-type": "list-style",
    "overflow-x": "overflow",
    "overflow-y": "overflow",
}
"""Properties that are read as another, which is near enough."""
_COMMENT: Final = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_FONT_SIZE: Final = re.compile(r"(?<![-\w./])(?:0(?![\d.])|[\d.]+(?=[a-z%]))[a-z%]*")
_OPACITY: Final = re.compile(r"[-+]?[\d.]+%?")
_FEATURE: Final = re.compile(r"\(([^()]*)\)")
_WIDTH: Final = re.compile(r"(?:(min|max)-(?:device-)?width:|width([<>])=?)(\d+(?:\.\d+)?|\.\d+)(px|em|rem|pt)")
_PIXELS: Final = {"px": 1.0, "em": 16.0, "rem": 16.0, "pt": 4 / 3}
_TRUE_FEATURES: Final = frozenset(
    {"prefers-color-scheme:light", "orientation:landscape", "prefers-reduced-motion:no-preference", "hover:hover"}
)
_ATTACKS: Final = (RecursionError, ValueError)
"""What tinycss2 raises for brackets hundreds deep, and for a number of thousands of digits."""

Declarations = tuple[tuple[str, str, bool], ...]
"""Property, value in lower case, and whether it is `!important`."""


@dataclass(frozen=True, slots=True)
class StyleRule:
    """A selector with what it says."""

    selector: str
    specificity: Specificity
    declarations: Declarations


@lru_cache(maxsize=4096)
def parse_declarations(css: str) -> Declarations:
    """The declarations of a `style` attribute that matter for what is seen."""
    try:
        return _read_visible(css)
    except _ATTACKS:
        return ()


def _read_visible(content: Any) -> Declarations:
    declarations = []
    for declaration in read_declarations(content)[0]:
        name = _SAME_AS.get(declaration.name, declaration.name)
        value = " ".join(_COMMENT.sub(" ", declaration.value).lower().split())
        if name == "font" and (size := _FONT_SIZE.search(value)):
            name, value = "font-size", size[0]
        if name in PROPERTIES and 0 < len(value) <= MAX_VALUE and _is_valid(name, value):
            declarations.append((name, value, declaration.is_important))
    return tuple(declarations)


def _is_valid(name: str, value: str) -> bool:
    """Whether a browser knows the value; else an earlier declaration stands. Checked where it makes text vanish."""
    if name == "display":
        return value in _DISPLAYS
    return name != "opacity" or _OPACITY.fullmatch(value) is not None


@lru_cache(maxsize=64)
def parse_stylesheet(css: str) -> tuple[StyleRule, ...]:
    """The rules that hold on a desktop and say something of what is seen."""
    rules: list[StyleRule] = []
    try:
        for node in _rules_in_force(css):
            if declarations := _read_visible(node.content):
                selectors = [text for text in _write_selectors(node.prelude) if len(text) <= MAX_SELECTOR]
                rules += [StyleRule(text, count_specificity(text), declarations) for text in selectors]
    except _ATTACKS:
        return ()
    return tuple(rules)


def _rules_in_force(css: str) -> Iterator[Any]:
    pending = [iter(tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True))]
    while pending:
        node = next(pending[-1], None)
        if node is None:
            pending.pop()
        elif node.type == "qualified-rule":
            yield node
        elif _is_media_in_force(node):
            pending.append(iter(tinycss2.parse_rule_list(node.content, skip_comments=True, skip_whitespace=True)))


def _is_media_in_force(node: Any) -> bool:
    is_media = node.type == "at-rule" and node.lower_at_keyword == "media" and node.content is not None
    return is_media and media_holds(serialize_css(node.prelude))


def _write_selectors(prelude: list[Any]) -> Iterator[str]:
    for tokens in split_selectors(prelude):
        yield serialize_css([token for token in tokens if token.type != "comment"]).strip()


def media_holds(query_list: str) -> bool:
    """Whether a list of media queries holds on a desktop; what is not understood does not hold."""
    text = _COMMENT.sub(" ", query_list).strip().lower()
    return not text or any(_query_holds(query) for query in text.split(","))


def _query_holds(query: str) -> bool:
    words = [word for word in _FEATURE.sub(" ", query).split() if word not in ("and", "only")]
    is_negated = words[:1] == ["not"]
    holds = all(word in ("all", "screen") for word in words[is_negated:]) and all(
        _feature_holds("".join(feature.split())) for feature in _FEATURE.findall(query)
    )
    return holds != is_negated


def _feature_holds(feature: str) -> bool:
    width = _WIDTH.fullmatch(feature)
    if width is None:
        return feature in _TRUE_FEATURES
    pixels = float(width[3]) * _PIXELS[width[4]]
    return pixels <= DESKTOP_WIDTH if width[1] == "min" or width[2] == ">" else pixels >= DESKTOP_WIDTH
