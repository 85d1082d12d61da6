"""Which declarations of a mail's `<style>` elements and `style` attributes win for an element (CSS Cascade §6)."""

from collections import defaultdict
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from notifier.mail.plain_text.visible_css import (
    MAX_STYLESHEET_LENGTH,
    Declarations,
    StyleRule,
    is_media_in_force,
    parse_declarations,
    parse_stylesheet,
)

MAX_STEPS: Final = 10_000_000  # elements that all selectors together are tried on; what follows is ignored
MAX_MATCHES: Final = 300_000  # of all selectors together
_SLOW_PARTS: Final = (":nth", ":first", ":last", ":only", ":has", "~")
"""Parts of a selector that look at all siblings, or at all that an element holds."""

StyleLayers = tuple[Declarations, ...]


class StyleCascade:
    """The style rules that match each element of one document."""

    def __init__(self, tree: LexborHTMLParser, size: int) -> None:
        """Match all rules; `size`: how many tags the document has at most."""
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
        """The declarations for an element, weakest first; `style` is its attribute."""
        if not self._matches and not style:
            return ()
        layers = tuple(self._matches.get(node.mem_id, ()))
        return (*layers, parse_declarations(style)) if style else layers


def get_cascaded_values(layers: StyleLayers) -> dict[str, str]:
    """The value of each property that is declared."""
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
        if (attributes.get("type") or "text/css").strip().lower() == "text/css" and is_media_in_force(
            attributes.get("media") or ""
        ):
            rules += parse_stylesheet(css)
    return rules


def _select_elements(tree: LexborHTMLParser, selector: str) -> list[LexborNode]:
    """The elements that a selector matches; none for one that only a browser's state or a pseudo-element answers to."""
    try:
        return tree.css(selector)
    except SelectolaxError:
        return []
