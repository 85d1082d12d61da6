"""Which declarations of a mail's `<style>` elements and `style` attributes win for an element (CSS Cascading §6).

Only properties that decide what is seen are read, for a desktop window in light colours. Rules in `@media` and sheets
with a `media` attribute count if they hold there. `@supports`, `@layer` and the like are ignored, and so is what a rule
says about `:hover` or `::before`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import tinycss2
from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from notifier.mail.css_parser import (
    Specificity,
    count_specificity,
    read_declarations,
    serialize_css,
    split_selectors,
)

MAX_STEPS: Final = 10_000_000  # elements tested by all selectors together; further rules are ignored
MAX_MATCHES: Final = 300_000  # of all selectors together
MAX_STYLESHEET_LENGTH: Final = 128 * 1024  # characters of all `<style>` elements; what follows is not read
MAX_SELECTOR_LENGTH: Final = 500  # characters; longer ones are ignored
MAX_VALUE_LENGTH: Final = 300  # characters of a property that matters here
DESKTOP_WIDTH: Final = 1024  # CSS pixels
_SLOW_PARTS: Final = (":nth", ":first", ":last", ":only", ":has", "~")
"""Parts of a selector that look at all siblings, or at all that an element holds."""
_DISPLAYS: Final = frozenset(
    {
        "none", "contents", "inline", "block", "inline-block", "list-item", "flow-root", "flex", "inline-flex", "grid",
        "inline-grid", "table", "inline-table", "table-row", "table-cell", "table-caption", "table-row-group",
        "table-header-group", "table-footer-group", "table-column", "table-column-group", "-webkit-box", "initial",
        "unset",
    }
)  # fmt: skip
VISIBILITY_PROPERTIES: Final = frozenset(
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
_HOSTILE_CSS_ERRORS: Final = (RecursionError, ValueError)
"""What tinycss2 raises for brackets hundreds deep, and for a number of thousands of digits."""

Declarations = tuple[tuple[str, str, bool], ...]
"""Property, value in lower case, and whether it is `!important`."""
StyleLayers = tuple[Declarations, ...]


@dataclass(frozen=True, slots=True)
class StyleRule:
    """A selector with its declarations."""

    selector: str
    specificity: Specificity
    declarations: Declarations


class StyleCascade:
    """The style rules that match each element of one document."""

    def __init__(self, tree: LexborHTMLParser, size: int) -> None:
        """Match all rules; `size` is the most tags that the document can have."""
        self._matches: defaultdict[int, list[Declarations]] = defaultdict(list)
        steps = matches = 0
        for rule in sorted(_read_style_rules(tree), key=lambda rule: rule.specificity):  # keeps the order of equals
            cost = size * size // 4 if any(part in rule.selector for part in _SLOW_PARTS) else size
            if steps + cost > MAX_STEPS or matches > MAX_MATCHES:
                continue
            nodes = _select_elements(tree, rule.selector)
            steps, matches = steps + cost, matches + len(nodes)
            for node in nodes:
                self._matches[node.mem_id].append(rule.declarations)

    def get_layers(self, node: LexborNode, style: str) -> StyleLayers:
        """Get the declarations for an element, weakest first; `style` is its attribute."""
        if not self._matches and not style:
            return ()
        layers = tuple(self._matches.get(node.mem_id, ()))
        return (*layers, parse_declarations(style)) if style else layers


def get_cascaded_values(layers: StyleLayers) -> dict[str, str]:
    """Get the value of each declared property."""
    return {
        name: value
        for important in (False, True)
        for declarations in layers
        for name, value, is_important in declarations
        if is_important is important
    }


def _read_style_rules(tree: LexborHTMLParser) -> list[StyleRule]:
    rules: list[StyleRule] = []
    size = 0
    for element in tree.css("style"):
        attributes = element.attributes
        css = element.text(deep=False)
        size += len(css)
        if size > MAX_STYLESHEET_LENGTH:
            break
        is_css = (attributes.get("type") or "text/css").strip().lower() == "text/css"
        if is_css and is_media_in_force(attributes.get("media") or ""):
            rules += parse_style_rules(css)
    return rules


def _select_elements(tree: LexborHTMLParser, selector: str) -> list[LexborNode]:
    """The elements that a selector matches; none for a browser's state or a pseudo-element."""
    try:
        return tree.css(selector)
    except SelectolaxError:
        return []


@lru_cache(maxsize=4096)
def parse_declarations(css: str) -> Declarations:
    """Parse the declarations of a `style` attribute that affect what is visible."""
    try:
        return _read_visible_declarations(css)
    except _HOSTILE_CSS_ERRORS:
        return ()


@lru_cache(maxsize=64)
def parse_style_rules(css: str) -> tuple[StyleRule, ...]:
    """Parse the rules that apply on a desktop and affect what is visible."""
    rules: list[StyleRule] = []
    try:
        for node in _list_rules_in_force(css):
            if declarations := _read_visible_declarations(node.content):
                for tokens in split_selectors(node.prelude):
                    selector = serialize_css([token for token in tokens if token.type != "comment"]).strip()
                    if len(selector) <= MAX_SELECTOR_LENGTH:
                        rules.append(StyleRule(selector, count_specificity(selector), declarations))
    except _HOSTILE_CSS_ERRORS:
        return ()
    return tuple(rules)


def _read_visible_declarations(content: Any) -> Declarations:
    declarations = []
    for declaration in read_declarations(content)[0]:
        name = _SAME_AS.get(declaration.name, declaration.name)
        value = " ".join(_COMMENT.sub(" ", declaration.value).lower().split())
        if name == "font" and (size := _FONT_SIZE.search(value)):
            name, value = "font-size", size[0]
        if name in VISIBILITY_PROPERTIES and 0 < len(value) <= MAX_VALUE_LENGTH and _is_known_value(name, value):
            declarations.append((name, value, declaration.is_important))
    return tuple(declarations)


def _is_known_value(name: str, value: str) -> bool:
    """Whether a browser knows the value; else an earlier declaration counts. Only checked where text would vanish."""
    if name == "display":
        return value in _DISPLAYS
    return name != "opacity" or _OPACITY.fullmatch(value) is not None


def _list_rules_in_force(css: str) -> Iterator[Any]:
    pending = [iter(tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True))]
    while pending:
        node = next(pending[-1], None)
        if node is None:
            pending.pop()
        elif node.type == "qualified-rule":
            yield node
        elif _is_media_rule_in_force(node):
            pending.append(iter(tinycss2.parse_rule_list(node.content, skip_comments=True, skip_whitespace=True)))


def _is_media_rule_in_force(node: Any) -> bool:
    is_media = node.type == "at-rule" and node.lower_at_keyword == "media" and node.content is not None
    return is_media and is_media_in_force(serialize_css(node.prelude))


def is_media_in_force(query_list: str) -> bool:
    """Whether a list of media queries matches on a desktop; unknown queries do not match."""
    text = _COMMENT.sub(" ", query_list).strip().lower()
    return not text or any(_does_query_match(query) for query in text.split(","))


def _does_query_match(query: str) -> bool:
    words = [word for word in _FEATURE.sub(" ", query).split() if word not in ("and", "only")]
    is_negated = words[:1] == ["not"]
    matches = all(word in ("all", "screen") for word in words[is_negated:]) and all(
        _does_feature_match("".join(feature.split())) for feature in _FEATURE.findall(query)
    )
    return matches != is_negated


def _does_feature_match(feature: str) -> bool:
    width = _WIDTH.fullmatch(feature)
    if width is None:
        return feature in _TRUE_FEATURES
    pixels = float(width[3]) * _PIXELS[width[4]]
    return pixels <= DESKTOP_WIDTH if width[1] == "min" or width[2] == ">" else pixels >= DESKTOP_WIDTH
