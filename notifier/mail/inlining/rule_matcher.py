"""Which rules select which elements of a mail: css-inline writes a mark for each selector into what it selects."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

import css_inline

from notifier.mail.inlining.markup_tokens import INVISIBLE_ELEMENTS, MarkupToken
from notifier.mail.inlining.move_plan import ElementKind, MovePlan, build_move_plan
from notifier.mail.inlining.style_attribute import write_style_attribute
from notifier.mail.inlining.stylesheet import (
    CssRule,
    StyleProfile,
    StylesheetNode,
    parse_stylesheet,
    read_profile,
    write_stylesheet,
)

StyleElements = tuple[tuple[str, bool], ...]
"""The text of each `<style>`, and whether its rules are for everybody."""
ElementKinds = frozenset[tuple[str, StyleProfile, bool]]
"""Marks, what the elements' own styles touch, and whether they have a tag."""

_NUMBER: Final = " data-n0"
_NUMBERED = re.compile(rf'{_NUMBER}="(\d+)"(?: (?!style=)[^\s"=]+="[^"]*")*(?: style="([^"]*)")?>')
_IMPLIED_ELEMENT = re.compile(r'<(?!head )[a-z]+ style="(m[^"]*)">')
"""An element that has no tag in the mail, such as most `<tbody>`; it has no attributes either."""


class StyleWriter:
    """Writes the styles of all mails that have the same kinds of elements."""

    def __init__(self, matcher: "RuleMatcher", plan: MovePlan) -> None:
        self._matcher = matcher
        self.plan = plan
        self.elements = [self._write_remaining(nodes) for nodes in matcher.sheet.elements]

    def _write_remaining(self, nodes: tuple[StylesheetNode, ...]) -> str | None:
        """What is left of a `<style>`; None if that is everything."""
        css = write_stylesheet(nodes, self.plan.get_kept_declarations)
        return None if css == write_stylesheet(nodes, lambda rule: rule.declarations) else css

    def write_attribute(self, marks: str, own_style: str) -> str:
        """Write the style of a tag that has these marks, escaped; `own_style` is what its author wrote."""
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
        """Find the marks of each token, and the kinds of elements; None if the parser finds other tags than these."""
        try:
            page = self._inliner.inline("".join(_number_tags(pieces, tokens)))
        except css_inline.InlineError:
            return None
        marks: dict[int, str] = {}
        for number, mark in _NUMBERED.findall(page):
            if marks.setdefault(int(number), mark) != mark:
                return None  # one tag became two elements, with different styles
        if len(marks) != sum(bool(token.name) for token in tokens):
            return None  # one became none
        matched = [
            marks.get(number, "") if token.name not in INVISIBLE_ELEMENTS else "" for number, token in enumerate(tokens)
        ]
        kinds = {(mark, token.profile, True) for mark, token in zip(matched, tokens, strict=True) if mark}
        kinds |= {(mark, frozenset(), False) for mark in _IMPLIED_ELEMENT.findall(page)}
        return matched, frozenset(kinds)

    def _find_rules(self, marks: str) -> tuple[tuple[CssRule, ...], tuple[CssRule, ...]]:
        """The rules that select the elements with these marks, and those that may come to do so."""
        names = [mark.partition(":")[0] for mark in marks.split(";")]
        moving, staying = (
            tuple(sorted((rule for name in names for rule in rules.get(name, ())), key=lambda rule: rule.rank))
            for rules in (self._moving, self._staying)
        )
        return moving, staying

    def _build_writer(self, kinds: ElementKinds, names: frozenset[str]) -> StyleWriter:
        """The writer for a mail with these kinds of elements, and these tags, classes and ids."""
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
    """Get the matcher for a mail's styles; most mails share theirs."""
    return RuleMatcher(styles)


def _number_tags(pieces: Sequence[str], tokens: Sequence[MarkupToken]) -> Iterator[str]:
    """The mail with a number in each tag, and without its own styles: only marks are to be found there."""
    for number, token in enumerate(tokens):
        text, markup = pieces[2 * number : 2 * number + 2]
        yield text
        if token.name:
            point = token.insertion_point
            start, end = token.style_span or (point, point)
            head, tail = markup[:start], markup[end:]
            if token.style_span:
                head, tail = f"{head}{tail[: point - end]}", tail[point - end :]
            yield f'{head}{_NUMBER}="{number}"{tail}'
        else:
            yield markup
    yield pieces[-1]
