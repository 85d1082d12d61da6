"""Which rules of a mail move into the tags, and what must stay so that everything looks as before.

A `style` attribute beats the normal rules of `<style>` and loses to its important ones (CSS Cascading §6.1). A rule
that moves gains that place, so that those that stay may need `!important`, or the moved one a copy in `<style>`.
Rules that never meet at an element are decided apart; where no answer is certain, they do not move.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from notifier.mail.css_parser import Specificity, StyleDeclaration
from notifier.rendering.inlining.stylesheet import Profile, Rule, Stylesheet


@dataclass(frozen=True, slots=True)
class Kind:
    """Elements that are all the same as far as styles go."""

    rules: tuple[Rule, ...]  # that can move and select them
    staying: tuple[Rule, ...]  # that may come to select them
    own: Profile  # what their `style` attributes say
    has_tag: bool  # False: the parser made them up, and there is no place for an attribute


class _Item(NamedTuple):
    """A rule's declarations of one group and importance."""

    is_important: bool
    rank: tuple[Specificity, int]
    rule: Rule


class _Contest(NamedTuple):
    """Those that decide about a group of properties for one kind of elements."""

    moving: list[_Item]
    staying: list[_Item]
    kind: Kind


@dataclass(kw_only=True)
class Plan:
    """What becomes of each rule's declarations, group by group."""

    moved: set[Rule] = field(default_factory=set)
    unmoved: set[tuple[Rule, str]] = field(default_factory=set)  # those that stay in `<style>` nevertheless
    copied: set[tuple[Rule, str, bool]] = field(default_factory=set)  # moved, and left in `<style>` too
    raised: set[tuple[Rule, str, bool]] = field(default_factory=set)  # what becomes important in `<style>`
    own_raised: dict[tuple[Profile, tuple[Rule, ...]], frozenset[str]] = field(default_factory=dict)

    def keep(self, rule: Rule) -> tuple[StyleDeclaration, ...]:
        """What is left of a rule in its `<style>`."""
        return tuple(self._kept(rule))

    def _kept(self, rule: Rule) -> Iterator[StyleDeclaration]:
        for one in rule.declarations:
            key = (rule, one.group, one.is_important)
            if rule not in self.moved or (rule, one.group) in self.unmoved or key in self.copied:
                yield replace(one, is_important=True) if key in self.raised else one

    def attribute(self, rules: Iterable[Rule]) -> tuple[list[StyleDeclaration], list[StyleDeclaration]]:
        """What the rules put before an element's own style, and behind it, weakest first."""
        strongest = {rule.rank[1]: rule for rule in sorted(rules, key=lambda rule: rule.rank)}  # of each selector list
        found = [
            one
            for rule in sorted(strongest.values(), key=lambda rule: rule.rank)
            for one in rule.declarations
            if (rule, one.group) not in self.unmoved
        ]
        return (
            [one for one in found if not one.is_important],
            [replace(one, is_important=False) for one in found if one.is_important],
        )


def make_plan(sheet: Stylesheet, kinds: list[Kind], foreign: frozenset[Rule]) -> Plan:
    """Decide about all the rules, for a mail that has these kinds of elements; `foreign` are those of mail programs."""
    plan = Plan(moved={rule for kind in kinds if kind.has_tag for rule in kind.rules})
    for group in sorted({group for rule in plan.moved for group in rule.groups}):
        for contests in _separate([_contest(plan, group, kind) for kind in kinds]):
            if group in sheet.frozen or not _try(plan, group, contests, foreign):
                plan.unmoved |= {(one.rule, group) for contest in contests for one in contest.moving}
    return plan


def _try(plan: Plan, group: str, contests: list[_Contest], foreign: frozenset[Rule]) -> bool:
    """Decide with all that mail programs might do, else as if each did only one thing of it, else without them."""
    known = [
        contest._replace(staying=[one for one in contest.staying if one.rule not in foreign]) for contest in contests
    ]
    return (
        _decide(plan, group, contests, apart=frozenset())
        or _decide(plan, group, contests, apart=foreign)
        or _decide(plan, group, known, apart=frozenset())
    )


def _contest(plan: Plan, group: str, kind: Kind) -> _Contest:
    moving = [*_items(group, (rule for rule in kind.rules if rule in plan.moved))]
    staying = [*_items(group, {rule for rule in (*kind.rules, *kind.staying) if rule not in plan.moved})]
    return _Contest(moving, staying, kind)


def _items(group: str, rules: Iterable[Rule]) -> Iterator[_Item]:
    for rule in rules:
        if group in rule.groups:
            for is_important in {one.is_important for one in rule.declarations if one.group == group}:
                yield _Item(is_important, rule.rank, rule)


def _separate(contests: list[_Contest]) -> list[list[_Contest]]:
    """The contests, those together that have rules in common."""
    parts: list[tuple[set[Rule], list[_Contest]]] = []
    for contest in contests:
        rules = {one.rule for one in (*contest.moving, *contest.staying)}
        joined = [part for part in parts if part[0] & rules]
        parts = [part for part in parts if not part[0] & rules]
        parts.append(
            (rules.union(*(part[0] for part in joined)), [one for part in joined for one in part[1]] + [contest])
        )
    return [part[1] for part in parts]


def _decide(plan: Plan, group: str, contests: list[_Contest], *, apart: frozenset[Rule]) -> bool:
    """Note what becomes of a group's rules; False if it is not certain that everything would look the same.

    Of the rules in `apart` no two ever select something at the same time.
    """
    raises = any(
        not stays.is_important and not moves.is_important and stays.rank > moves.rank
        for moving, staying, kind in contests
        if kind.has_tag
        for moves in moving
        for stays in staying
    )
    strong = _strong_copies(contests, raises=raises)
    own_raised: dict[tuple[Profile, tuple[Rule, ...]], frozenset[str]] = {}
    for moving, staying, kind in contests if raises else ():
        in_style = [*strong.intersection(moving), *staying]
        normal = [one for one in in_style if not one.is_important]
        important = [one for one in in_style if one.is_important]
        if any(one.rank > other.rank and not {one.rule, other.rule} <= apart for one in normal for other in important):
            return False
        if (group, False) in kind.own and normal:
            if important or (group, True) in kind.own:
                return False
            own_raised[kind.own, kind.rules] = frozenset({group})
    copies = strong | {one for moving, _, kind in contests if not kind.has_tag for one in moving}
    plan.copied |= {(one.rule, group, one.is_important) for one in copies}
    if raises:
        rivals = {one for contest in contests for one in contest.staying}
        plan.raised |= {(one.rule, group, one.is_important) for one in strong | rivals}
    for key, groups in own_raised.items():
        plan.own_raised[key] = plan.own_raised.get(key, frozenset()) | groups
    return True


def _strong_copies(contests: list[_Contest], *, raises: bool) -> set[_Item]:
    """What must stay in `<style>` too, important there: it beats something that beats what is in the tags."""
    copies = {one for moving, _, kind in contests if not kind.has_tag for one in moving if one.is_important}
    grows = True
    while grows:
        size = len(copies)
        for moving, staying, _ in contests:
            strong = [one for one in (*staying, *copies.intersection(moving)) if one.is_important or raises]
            copies |= {one for one in moving if any(one[:2] > other[:2] for other in strong)}
        grows = len(copies) > size
    return copies
