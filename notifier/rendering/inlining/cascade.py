"""Which rules of a mail move into the tags, and what must stay so that everything looks as before.

A `style` attribute beats the normal rules of `<style>` and loses to its important ones (CSS Cascading §6.1). A rule
that moves gains that place, so that those that stay may need `!important`, or the moved one a copy in `<style>`.
Properties that have nothing to do with each other are decided apart; where no answer is certain, they do not move.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from notifier.rendering.inlining.stylesheet import Declaration, Profile, Rule, Stylesheet

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
    rank: tuple[tuple[int, int, int], int]
    rule: Rule


class _Fight(NamedTuple):
    """Those that decide about a group for one kind of elements."""

    moving: list[_Item]
    staying: list[_Item]
    kind: Kind


@dataclass(kw_only=True)
class Plan:
    """What becomes of each rule's declarations, group by group."""

    unmoved: set[str] = field(default_factory=set)  # groups that stay in `<style>` altogether
    raised: set[str] = field(default_factory=set)  # groups whose rules in `<style>` become important
    copied: set[tuple[Rule, str, bool]] = field(default_factory=set)  # moved, and left in `<style>` too
    moved: set[Rule] = field(default_factory=set)
    own_raised: dict[tuple[Profile, tuple[Rule, ...]], frozenset[str]] = field(default_factory=dict)

    def keep(self, rule: Rule) -> tuple[Declaration, ...]:
        """What is left of a rule in its `<style>`."""
        return tuple(self._kept(rule))

    def _kept(self, rule: Rule) -> Iterator[Declaration]:
        for one in rule.declarations:
            is_moved = rule in self.moved and one.group not in self.unmoved
            if not is_moved or (rule, one.group, one.is_important) in self.copied:
                is_raised = one.group in self.raised and not rule.selector.is_box
                yield replace(one, is_important=True) if is_raised else one

    def attribute(self, rules: Iterable[Rule]) -> tuple[list[Declaration], list[Declaration]]:
        """What the rules put before an element's own style, and behind it, weakest first."""
        strongest = {rule.rank[1]: rule for rule in sorted(rules, key=lambda rule: rule.rank)}  # of each selector list
        ordered = sorted(strongest.values(), key=lambda rule: rule.rank)
        found = [one for rule in ordered for one in rule.declarations if one.group not in self.unmoved]
        return (
            [one for one in found if not one.is_important],
            [replace(one, is_important=False) for one in found if one.is_important],
        )


def make_plan(sheet: Stylesheet, kinds: list[Kind]) -> Plan:
    """Decide about all the rules, for a mail that has these kinds of elements."""
    plan = Plan(moved={rule for kind in kinds if kind.has_tag for rule in kind.rules})
    for group in sorted({group for rule in plan.moved for group in rule.groups}):
        if group in sheet.frozen or not _decide(plan, group, kinds):
            plan.unmoved.add(group)
    return plan


def _decide(plan: Plan, group: str, kinds: list[Kind]) -> bool:
    """Note what becomes of a group; False if it is not certain that everything would look the same."""
    fights = [_fight(plan, group, kind) for kind in kinds]
    raises = any(
        stays.rank > moves.rank
        for moving, staying, kind in fights
        for moves in moving
        for stays in staying
        if kind.has_tag and not stays.is_important and not moves.is_important
    )
    copies = _copies(fights, raises=raises)
    own_raised = {}
    for moving, staying, kind in fights:
        in_style = [*(one for one in moving if one in copies), *staying]
        if not raises or not in_style:
            continue
        normal = [one for one in in_style if not one.is_important]
        important = [one for one in in_style if one.is_important]
        if any(one.rank > other.rank for one in normal for other in important):
            return False
        if (group, False) in kind.own and normal:
            if important or (group, True) in kind.own:
                return False
            own_raised[kind.own, kind.rules] = frozenset({group})
    if raises:
        plan.raised.add(group)
    plan.copied |= {(one.rule, group, one.is_important) for one in copies}
    for key, groups in own_raised.items():
        plan.own_raised[key] = plan.own_raised.get(key, frozenset()) | groups
    return True


def _fight(plan: Plan, group: str, kind: Kind) -> _Fight:
    moving = [*_items(group, (rule for rule in kind.rules if rule in plan.moved))]
    staying = [*_items(group, (rule for rule in (*kind.rules, *kind.staying) if rule not in plan.moved))]
    return _Fight(moving, staying, kind)


def _items(group: str, rules: Iterable[Rule]) -> Iterator[_Item]:
    for rule in rules:
        if group in rule.groups:
            for is_important in {one.is_important for one in rule.declarations if one.group == group}:
                yield _Item(is_important, rule.rank, rule)


def _copies(fights: list[_Fight], *, raises: bool) -> set[_Item]:
    """What must stay in `<style>` too: it beats something there that beats what is in the tags."""
    copies = {one for moving, _, kind in fights if not kind.has_tag for one in moving}
    grows = True
    while grows:
        size = len(copies)
        for moving, staying, _ in fights:
            strong = [one for one in (*staying, *(copies.intersection(moving))) if one.is_important or raises]
            copies |= {one for one in moving if any(one[:2] > other[:2] for other in strong)}
        grows = len(copies) > size
    return copies
