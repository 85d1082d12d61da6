"""Which rules of a mail move into the tags, and what must stay so that everything looks as before.

A `style` attribute beats the normal rules of `<style>` and loses to its important ones (CSS Cascading §6.1). A rule
that moves is therefore stronger than before. Rules that stay may then need `!important`, or the moved rule needs a copy
in `<style>`. Rules that never select the same element are decided separately; in doubt a rule does not move.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from notifier.mail.css_parser import Specificity, StyleDeclaration
from notifier.mail.inlining.stylesheet import CssRule, StyleProfile, Stylesheet


@dataclass(frozen=True, slots=True)
class ElementKind:
    """Elements that have the same styles."""

    rules: tuple[CssRule, ...]  # that can move and select them
    staying: tuple[CssRule, ...]  # that stay, and may select them
    own_profile: StyleProfile  # what their `style` attributes say
    has_tag: bool  # False: the parser added them, and there is no place for an attribute


class _GroupedRule(NamedTuple):
    """A rule's declarations of one group and importance."""

    is_important: bool
    rank: tuple[Specificity, int]
    rule: CssRule


class _Contest(NamedTuple):
    """The rules that decide about a group of properties for one kind of elements."""

    moving: list[_GroupedRule]
    staying: list[_GroupedRule]
    kind: ElementKind


@dataclass(kw_only=True)
class MovePlan:
    """The decisions about each rule's declarations, group by group."""

    moved: set[CssRule] = field(default_factory=set)
    unmoved: set[tuple[CssRule, str]] = field(default_factory=set)  # those that stay in `<style>` nevertheless
    copied: set[tuple[CssRule, str, bool]] = field(default_factory=set)  # moved, and left in `<style>` too
    raised: set[tuple[CssRule, str, bool]] = field(default_factory=set)  # important in `<style>` from now on
    raised_own_groups: dict[tuple[StyleProfile, tuple[CssRule, ...]], frozenset[str]] = field(default_factory=dict)

    def get_kept_declarations(self, rule: CssRule) -> tuple[StyleDeclaration, ...]:
        """The declarations of a rule that stay in its `<style>`."""
        kept_declarations = []
        for declaration in rule.declarations:
            key = (rule, declaration.group, declaration.is_important)
            if rule not in self.moved or (rule, declaration.group) in self.unmoved or key in self.copied:
                is_raised = key in self.raised
                kept_declarations.append(replace(declaration, is_important=True) if is_raised else declaration)
        return tuple(kept_declarations)

    def get_attribute_declarations(
        self, rules: Iterable[CssRule]
    ) -> tuple[list[StyleDeclaration], list[StyleDeclaration]]:
        """The declarations of the rules before and behind an element's own style, weakest first."""
        strongest = {rule.rank[1]: rule for rule in sorted(rules, key=lambda rule: rule.rank)}  # of each selector list
        declarations = [
            declaration
            for rule in sorted(strongest.values(), key=lambda rule: rule.rank)
            for declaration in rule.declarations
            if (rule, declaration.group) not in self.unmoved
        ]
        return (
            [declaration for declaration in declarations if not declaration.is_important],
            [replace(declaration, is_important=False) for declaration in declarations if declaration.is_important],
        )


def build_move_plan(sheet: Stylesheet, kinds: list[ElementKind], foreign: frozenset[CssRule]) -> MovePlan:
    """Decide about all rules, for a mail with these kinds of elements.

    `foreign` are rules for elements that only a mail program adds.
    """
    plan = MovePlan(moved={rule for kind in kinds if kind.has_tag for rule in kind.rules})
    for group in sorted({group for rule in plan.moved for group in rule.groups}):
        for contests in _group_contests([_build_contest(plan, group, kind) for kind in kinds]):
            if group in sheet.frozen or not _decide_with_fallbacks(plan, group, contests, foreign):
                plan.unmoved |= {(item.rule, group) for contest in contests for item in contest.moving}
    return plan


def _decide_with_fallbacks(plan: MovePlan, group: str, contests: list[_Contest], foreign: frozenset[CssRule]) -> bool:
    """Decide with all that mail programs might do; else as if each did only one of it; else without them."""
    known = [
        contest._replace(staying=[item for item in contest.staying if item.rule not in foreign]) for contest in contests
    ]
    return (
        _decide_group(plan, group, contests, apart=frozenset())
        or _decide_group(plan, group, contests, apart=foreign)
        or _decide_group(plan, group, known, apart=frozenset())
    )


def _build_contest(plan: MovePlan, group: str, kind: ElementKind) -> _Contest:
    moving = [*_list_grouped_rules(group, (rule for rule in kind.rules if rule in plan.moved))]
    staying = [*_list_grouped_rules(group, {rule for rule in (*kind.rules, *kind.staying) if rule not in plan.moved})]
    return _Contest(moving, staying, kind)


def _list_grouped_rules(group: str, rules: Iterable[CssRule]) -> Iterator[_GroupedRule]:
    for rule in rules:
        if group in rule.groups:
            importances = {item.is_important for item in rule.declarations if item.group == group}
            yield from (_GroupedRule(is_important, rule.rank, rule) for is_important in importances)


def _group_contests(contests: list[_Contest]) -> list[list[_Contest]]:
    """Group the contests that have rules in common."""
    parts: list[tuple[set[CssRule], list[_Contest]]] = []
    for contest in contests:
        rules = {item.rule for item in (*contest.moving, *contest.staying)}
        joined = [part for part in parts if part[0] & rules]
        parts = [part for part in parts if not part[0] & rules]
        members = [member for part in joined for member in part[1]]
        parts.append((rules.union(*(part[0] for part in joined)), [*members, contest]))
    return [part[1] for part in parts]


def _decide_group(plan: MovePlan, group: str, contests: list[_Contest], *, apart: frozenset[CssRule]) -> bool:
    """Decide about a group's rules; False if it is not certain that everything looks the same.

    No two rules in `apart` ever select something at the same time.
    """
    raises = any(
        not stays.is_important and not moves.is_important and stays.rank > moves.rank
        for moving, staying, kind in contests
        if kind.has_tag
        for moves in moving
        for stays in staying
    )
    strong = _find_strong_copies(contests, raises=raises)
    raised_own_groups: dict[tuple[StyleProfile, tuple[CssRule, ...]], frozenset[str]] = {}
    for moving, staying, kind in contests if raises else ():
        in_style = [*strong.intersection(moving), *staying]
        normal = [item for item in in_style if not item.is_important]
        important = [item for item in in_style if item.is_important]
        if any(
            item.rank > other.rank and not {item.rule, other.rule} <= apart for item in normal for other in important
        ):
            return False
        if (group, False) in kind.own_profile and normal:
            if important or (group, True) in kind.own_profile:
                return False
            raised_own_groups[kind.own_profile, kind.rules] = frozenset({group})
    copies = strong | {item for moving, _, kind in contests if not kind.has_tag for item in moving}
    plan.copied |= {(item.rule, group, item.is_important) for item in copies}
    if raises:
        rivals = {item for contest in contests for item in contest.staying}
        plan.raised |= {(item.rule, group, item.is_important) for item in strong | rivals}
    for key, groups in raised_own_groups.items():
        plan.raised_own_groups[key] = plan.raised_own_groups.get(key, frozenset()) | groups
    return True


def _find_strong_copies(contests: list[_Contest], *, raises: bool) -> set[_GroupedRule]:
    """The rules that must stay in `<style>` too, as important: each beats a rule that beats what is in the tags."""
    copies = {item for moving, _, kind in contests if not kind.has_tag for item in moving if item.is_important}
    grows = True
    while grows:
        size = len(copies)
        for moving, staying, _ in contests:
            strong = [item for item in (*staying, *copies.intersection(moving)) if item.is_important or raises]
            copies |= {item for item in moving if any(item[:2] > other[:2] for other in strong)}
        grows = len(copies) > size
    return copies
