"""Which rules select which elements of a mail: css-inline is given a mark for each selector, and tells who gets it."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

import css_inline

from notifier.rendering.inlining.attribute import write_attribute
from notifier.rendering.inlining.cascade import Kind, Plan, make_plan
from notifier.rendering.inlining.markup import INVISIBLE, Token
from notifier.rendering.inlining.stylesheet import Node, Profile, Rule, parse_stylesheet, read_profile, write_nodes

Styles = tuple[tuple[str, bool], ...]
"""The text of each `<style>`, and whether its rules are for everybody."""
Kinds = frozenset[tuple[str, Profile, bool]]
"""Marks, what the elements' own styles touch, and whether they have a tag."""

_NUMBER: Final = " data-n0"
_NUMBERED = re.compile(rf'{_NUMBER}="(\d+)"(?: (?!style=)[^\s"=]+="[^"]*")*(?: style="([^"]*)")?>')
_MADE_UP = re.compile(r'<(?!head )[a-z]+ style="(m[^"]*)">')
"""An element that has no tag in the mail, such as most `<tbody>`; it has no attributes either."""


class StyleWriter:
    """What becomes of the styles of all mails that have the same kinds of elements."""

    def __init__(self, matcher: "Matcher", plan: Plan) -> None:
        self._matcher = matcher
        self.plan = plan
        self.elements = [self._left(nodes) for nodes in matcher.sheet.elements]

    def _left(self, nodes: tuple[Node, ...]) -> str | None:
        """What is left of a `<style>`; None if that is everything."""
        left = write_nodes(nodes, self.plan.keep)
        return None if left == write_nodes(nodes, lambda rule: rule.declarations) else left

    def attribute(self, marks: str, own: str) -> str:
        """The style of a tag that has these marks, escaped; `own` is what its author wrote."""
        rules, _ = self._matcher.rules(marks)
        before, after = self.plan.attribute(rules)
        return write_attribute(before, own, after, self.plan.own_raised.get((read_profile(own), rules), frozenset()))


class Matcher:
    """Finds the rules of a mail's styles that select each of its elements."""

    def __init__(self, styles: Styles) -> None:
        self.sheet = parse_stylesheet(styles)
        marks: dict[str, str] = {}  # of each selector
        self._moving: dict[str, list[Rule]] = {}
        self._staying: dict[str, list[Rule]] = {}
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
        self.rules = lru_cache(maxsize=256)(self._rules)
        self.writer = lru_cache(maxsize=16)(self._writer)

    def match(self, pieces: Sequence[str], tokens: Sequence[Token]) -> tuple[list[str], Kinds] | None:
        """The marks of each token, and the kinds of elements; None if the parser finds other tags than these."""
        try:
            parsed = self._inliner.inline("".join(_numbered(pieces, tokens)))
        except css_inline.InlineError:
            return None
        marks: dict[int, str] = {}
        for number, found in _NUMBERED.findall(parsed):
            if marks.setdefault(int(number), found) != found:
                return None  # one tag became two elements, with different styles
        if len(marks) != sum(bool(token.name) for token in tokens):
            return None  # one became none
        matched = [marks.get(number, "") if token.name not in INVISIBLE else "" for number, token in enumerate(tokens)]
        kinds = {(found, token.profile, True) for found, token in zip(matched, tokens, strict=True) if found}
        kinds |= {(found, frozenset(), False) for found in _MADE_UP.findall(parsed)}
        return matched, frozenset(kinds)

    def _rules(self, marks: str) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
        """The rules that select the elements with these marks, and those that may come to do so."""
        names = [mark.partition(":")[0] for mark in marks.split(";")]
        moving, staying = (
            tuple(sorted((rule for name in names for rule in rules.get(name, ())), key=lambda rule: rule.rank))
            for rules in (self._moving, self._staying)
        )
        return moving, staying

    def _writer(self, kinds: Kinds, names: frozenset[str]) -> StyleWriter:
        """What becomes of the styles of a mail with these kinds of elements, and these tags, classes and ids."""
        matched = {rule for marks, _, _ in kinds for rule in self.rules(marks)[0]}
        unmatched = {rule for rule in self.sheet.rules if rule.can_move and rule not in matched}
        foreign = frozenset(rule for rule in unmatched if rule.selector.attributes or not rule.selector.names <= names)
        ordered = sorted(kinds, key=lambda kind: (kind[0], sorted(kind[1]), kind[2]))
        found = []
        for marks, own, has_tag in ordered:
            moving, staying = self.rules(marks)
            alive = tuple(rule for rule in staying if rule not in unmatched or rule in foreign)
            found.append(Kind(moving, alive, own, has_tag))
        return StyleWriter(self, make_plan(self.sheet, found, foreign))


@lru_cache(maxsize=32)
def matcher_of(styles: Styles) -> Matcher:
    """The matcher for a mail's styles; most mails share theirs."""
    return Matcher(styles)


def _numbered(pieces: Sequence[str], tokens: Sequence[Token]) -> Iterator[str]:
    """The mail with a number in each tag, and without its own styles: only marks are to be found there."""
    for number, token in enumerate(tokens):
        text, markup = pieces[2 * number : 2 * number + 2]
        yield text
        if token.name:
            start, end = token.style or (token.end, token.end)
            head, tail = markup[:start], markup[end:]
            if token.style:
                place = token.end - end
                head, tail = f"{head}{tail[:place]}", tail[place:]
            yield f'{head}{_NUMBER}="{number}"{tail}'
        else:
            yield markup
    yield pieces[-1]
