"""Which rules select which elements of a mail, and the `style` attributes that follow from that.

css-inline writes a mark for each selector into the elements that it selects.
"""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import css_inline
import tinycss2

from notifier.mail.css_parser import StyleDeclaration, read_declarations, serialize_css, write_declarations
from notifier.mail.inlining.markup_tokens import INVISIBLE_ELEMENTS, MarkupToken
from notifier.mail.inlining.move_plan import ElementKind, MovePlan, build_move_plan
from notifier.mail.inlining.stylesheet import (
    CssRule,
    StyleProfile,
    StylesheetNode,
    parse_stylesheet,
    read_profile,
    write_stylesheet,
)

_CSS_NUMBER: Final = r"(?:\d+(?:\.\d+)?|\.\d+)"
_LENGTH: Final = rf"(?:0|{_CSS_NUMBER}(?:px|em|rem|pt|%))"
_SAFE_VALUES: Final = {
    **dict.fromkeys(("margin", "padding"), rf"{_LENGTH}(?:\s+{_LENGTH}){{0,3}}"),
    **dict.fromkeys(
        (
            *(f"{box}-{side}" for box in ("margin", "padding") for side in ("top", "right", "bottom", "left")),
            *("width", "height", "max-width", "min-width", "max-height", "min-height", "font-size", "text-indent"),
        ),
        _LENGTH,
    ),
    "line-height": rf"{_LENGTH}|{_CSS_NUMBER}|normal",
    "letter-spacing": rf"-?{_CSS_NUMBER}(?:px|em)|normal",
    "color": "#[0-9a-f]{3}(?:[0-9a-f]{3})?|black|white|inherit",
    "background-color": "#[0-9a-f]{3}(?:[0-9a-f]{3})?|black|white|transparent",
    "font-weight": "[1-9]00|normal|bold",
    "font-style": "normal|italic",
    "text-align": "left|right|center",
    "text-decoration": "none|underline",
    "vertical-align": "top|middle|bottom|baseline",
    "display": "none|block|inline|inline-block",
}
"""Property → values that every mail program knows, so that what they override need not be sent."""
_SAFE_VALUE_PATTERNS: Final = {name: re.compile(values, re.IGNORECASE) for name, values in _SAFE_VALUES.items()}


def write_style_attribute(
    before: Sequence[StyleDeclaration], own_style: str, after: Sequence[StyleDeclaration], raised: frozenset[str]
) -> str:
    """Write the escaped value of a `style` attribute; the author's groups in `raised` become important."""
    authored, _ = read_declarations(own_style)
    if raised:
        authored = tuple(replace(item, is_important=True) if item.group in raised else item for item in authored)
    if raised or (after and not _is_complete(own_style)):
        own_style = write_declarations(authored)
    overridden = {item.name for item in (*authored, *after) if _is_safe_value(item)}
    pieces = [
        write_declarations([*_drop_overridden(before, overridden)][::-1]),
        own_style.strip(),
        write_declarations(after),
    ]
    last = next((piece for piece in reversed(pieces) if piece), "")
    return _escape_attribute(";".join(piece if piece is last else piece.rstrip("; ") for piece in pieces if piece))


def _is_complete(style: str) -> bool:
    """Whether everything that begins in the style also ends in it."""
    tokens = tinycss2.parse_component_value_list(style)
    return all(token.type != "error" for token in tokens) and serialize_css(tokens) == style


def _drop_overridden(declarations: Sequence[StyleDeclaration], overridden: set[str]) -> Iterator[StyleDeclaration]:
    """The declarations that are not overridden, last first."""
    for declaration in reversed(declarations):
        if declaration.name not in overridden:
            yield declaration
        if _is_safe_value(declaration):
            overridden.add(declaration.name)


def _is_safe_value(declaration: StyleDeclaration) -> bool:
    values = _SAFE_VALUE_PATTERNS.get(declaration.name)
    return bool(values and values.fullmatch(declaration.value))


def _escape_attribute(text: str) -> str:
    """Escape text for double quotation marks; those in it become single ones, which some mail programs read better."""
    if "'" not in text:
        text = text.replace('"', "'")
    return html.escape(text, quote=False).replace('"', "&quot;")


StyleElements = tuple[tuple[str, bool], ...]
"""The text of each `<style>`, and whether its rules are for everybody."""
ElementKinds = frozenset[tuple[str, StyleProfile, bool]]
"""Marks, what the elements' own styles touch, and whether they have a tag."""

_NUMBER_ATTRIBUTE: Final = " data-n0"
_NUMBERED = re.compile(rf'{_NUMBER_ATTRIBUTE}="(\d+)"(?: (?!style=)[^\s"=]+="[^"]*")*(?: style="([^"]*)")?>')
_IMPLIED_ELEMENT = re.compile(r'<(?!head )[a-z]+ style="(m[^"]*)">')
"""An element that has no tag in the mail, such as most `<tbody>`; it has no attributes either."""


class StyleWriter:
    """Writes the styles of all mails that have the same kinds of elements."""

    def __init__(self, matcher: "RuleMatcher", plan: MovePlan) -> None:
        self._matcher = matcher
        self.plan = plan
        self.elements = [self._write_remaining(nodes) for nodes in matcher.sheet.elements]

    def _write_remaining(self, nodes: tuple[StylesheetNode, ...]) -> str | None:
        """What is left of a `<style>`; None if nothing changes."""
        css = write_stylesheet(nodes, self.plan.get_kept_declarations)
        return None if css == write_stylesheet(nodes, lambda rule: rule.declarations) else css

    def write_attribute(self, marks: str, own_style: str) -> str:
        """Write the escaped style of a tag with these marks; `own_style` is its author's."""
        rules, _ = self._matcher.get_rules(marks)
        before, after = self.plan.get_attribute_declarations(rules)
        raised = self.plan.raised_own_groups.get((read_profile(own_style), rules), frozenset())
        return write_style_attribute(before, own_style, after, raised)


class RuleMatcher:
    """Finds the rules of a mail's styles that select each of its elements."""

    def __init__(self, styles: StyleElements) -> None:
        self.sheet = parse_stylesheet(styles)
        marks: dict[str, str] = {}  # of each selector
        self._moving: dict[str, list[CssRule]] = {}
        self._staying: dict[str, list[CssRule]] = {}
        for rule in self.sheet.rules:
            selector = rule.selector
            if rule.can_move:
                self._moving.setdefault(marks.setdefault(selector.text, f"m{len(marks)}"), []).append(rule)
            if not selector.is_box:
                self._staying.setdefault(marks.setdefault(selector.subject, f"m{len(marks)}"), []).append(rule)
        self._inliner = css_inline.CSSInliner(
            inline_style_tags=False,
            keep_style_tags=True,
            keep_link_tags=True,
            minify_css=True,
            load_remote_stylesheets=False,
            extra_css="".join(f"{text}{{{mark}:1}}" for text, mark in marks.items()),
        )
        self.get_rules = lru_cache(maxsize=256)(self._find_rules)
        self.get_writer = lru_cache(maxsize=16)(self._build_writer)

    def match_elements(
        self, pieces: Sequence[str], tokens: Sequence[MarkupToken]
    ) -> tuple[list[str], ElementKinds] | None:
        """Find the marks of each token, and the kinds of elements; None if the parser finds other tags."""
        try:
            page = self._inliner.inline("".join(_number_tags(pieces, tokens)))
        except css_inline.InlineError:
            return None
        marks: dict[int, str] = {}
        for number, mark in _NUMBERED.findall(page):
            if marks.setdefault(int(number), mark) != mark:
                return None  # one tag became two elements, with different styles
        if len(marks) != sum(bool(token.name) for token in tokens):
            return None  # a tag became no element
        matched = [
            marks.get(number, "") if token.name not in INVISIBLE_ELEMENTS else "" for number, token in enumerate(tokens)
        ]
        kinds = {(mark, token.profile, True) for mark, token in zip(matched, tokens, strict=True) if mark}
        kinds |= {(mark, frozenset(), False) for mark in _IMPLIED_ELEMENT.findall(page)}
        return matched, frozenset(kinds)

    def _find_rules(self, marks: str) -> tuple[tuple[CssRule, ...], tuple[CssRule, ...]]:
        """The rules that select the elements with these marks, and those that may do so in some mail programs."""
        names = [mark.partition(":")[0] for mark in marks.split(";")]
        moving, staying = (
            tuple(sorted((rule for name in names for rule in rules.get(name, ())), key=lambda rule: rule.rank))
            for rules in (self._moving, self._staying)
        )
        return moving, staying

    def _build_writer(self, kinds: ElementKinds, names: frozenset[str]) -> StyleWriter:
        matched = {rule for marks, _, _ in kinds for rule in self.get_rules(marks)[0]}
        unmatched = {rule for rule in self.sheet.rules if rule.can_move and rule not in matched}
        foreign = frozenset(rule for rule in unmatched if rule.selector.attributes or not rule.selector.names <= names)
        element_kinds = []
        for marks, own_profile, has_tag in sorted(kinds, key=lambda kind: (kind[0], sorted(kind[1]), kind[2])):
            moving, staying = self.get_rules(marks)
            possible = tuple(rule for rule in staying if rule not in unmatched or rule in foreign)
            element_kinds.append(ElementKind(moving, possible, own_profile, has_tag))
        return StyleWriter(self, build_move_plan(self.sheet, element_kinds, foreign))


@lru_cache(maxsize=32)
def get_rule_matcher(styles: StyleElements) -> RuleMatcher:
    """Get the matcher for a mail's styles; cached, as most mails share them."""
    return RuleMatcher(styles)


def _number_tags(pieces: Sequence[str], tokens: Sequence[MarkupToken]) -> Iterator[str]:
    """The mail with a number in each tag and without its own styles, so that only marks are in it."""
    for number, token in enumerate(tokens):
        text, markup = pieces[2 * number : 2 * number + 2]
        yield text
        if token.name:
            point = token.insertion_point
            start, end = token.style_span or (point, point)
            head, tail = markup[:start], markup[end:]
            if token.style_span:
                head, tail = f"{head}{tail[: point - end]}", tail[point - end :]
            yield f'{head}{_NUMBER_ATTRIBUTE}="{number}"{tail}'
        else:
            yield markup
    yield pieces[-1]
