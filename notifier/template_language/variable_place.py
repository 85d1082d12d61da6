"""Where a caller's values stand, what templates do with them, and the names that templates give."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, Final

import msgspec
from jinja2 import nodes

ATTRIBUTE_AT = {"groupby": 0, "join": 1, "max": 1, "min": 1, "sort": 2, "sum": 0, "unique": 1}
"""Where filters that look at something in each item take its name."""


class VariableRead(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a part reads a variable."""

    path: tuple[str, ...]  # from the caller's variables on; "[]" for an item of a list
    file: str  # as in `TemplateSource.files`
    line: int  # from 1
    guarded: bool  # nothing fails here if a caller leaves the variable out
    sure: int = 0  # leading steps of the path that are known to be there whenever this is read
    whole: bool = True  # the value itself is shown or handed on, so that everything in it counts as read


class LostError(Exception):
    """The parts do what cannot be followed, so that nothing may be said about what they do not need."""


@dataclass(frozen=True)
class Item:
    """A step to an item of a list; equal only if it is the same item."""

    which: object


Path = tuple[str | Item, ...]


class Instead(Enum):
    """What may stand in a value's place if the caller left it out."""

    NOTHING = auto()
    EMPTY = auto()  # an empty text or list: it can be looped over
    OTHER = auto()
    NULL = auto()  # it can be shown or asked for, and nothing else


class Use(Enum):
    """What is done with a value."""

    SHOWN = auto()
    ASKED = auto()  # whether it is true
    LOOPED = auto()
    ENTERED = auto()  # something in it is read
    PASSED = auto()  # to a filter, an operator, a function


MINDS = {
    Instead.NOTHING: frozenset(Use),
    Instead.EMPTY: frozenset({Use.ENTERED}),
    Instead.OTHER: frozenset({Use.ENTERED, Use.LOOPED}),
    Instead.NULL: frozenset({Use.ENTERED, Use.LOOPED, Use.PASSED}),
}


@dataclass(frozen=True)
class Place:
    """A value of the caller's, by where it stands among the variables."""

    path: Path
    sure: int = 0  # leading steps known to be there
    instead: Instead = Instead.NOTHING
    partial: bool = False  # a list of which only some items are meant


Value = tuple[Any, ...]
"""What an expression may come to: places, what templates define, and `ELSE`; empty if it is no variable for certain."""
ELSE: Final = "else"
"""Something that is no variable, beside others that may be."""


def either(*values: Value) -> Value:
    """What comes to one of these."""
    return tuple(dict.fromkeys(one for value in values for one in value or (ELSE,)))


@dataclass(eq=False)
class Scope:
    """Names that a template has given; a closed one does not see the caller's variables."""

    parent: "Scope | None" = None
    names: dict[str, Value] = field(default_factory=dict)
    closed: bool = False

    def find(self, name: str) -> Value | None:
        """What the name stands for, or None if the template did not give it."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            if scope.closed:
                return ()
            scope = scope.parent
        return None


def sure_of(place: Place, facts: Iterable[Path]) -> int:
    """How many leading steps of the path are there: those of what was asked for, and those before it."""
    sure = place.sure
    for fact in facts:
        alike = 0
        for mine, theirs in zip(place.path, fact, strict=False):
            if mine != theirs:
                break
            alike += 1
        sure = max(sure, alike)
    return sure


def replaced(value: Value, instead: Instead) -> Value:
    """The value where the template has seen to its absence."""
    return tuple(replace(one, instead=instead) if isinstance(one, Place) else one for one in value)


def falls_back_on_nothing(node: nodes.Filter) -> bool:
    """Whether the filter's default is an empty text or list, or false."""
    if not node.args:
        return all(keyword.key == "boolean" for keyword in node.kwargs)
    fallback = node.args[0]
    if isinstance(fallback, nodes.List | nodes.Tuple | nodes.Dict):
        return not fallback.items
    return isinstance(fallback, nodes.Const) and fallback.value in ("", False)


def attribute_of(node: nodes.Filter) -> str | None:
    """The name, perhaps dotted, of what the filter looks at in each item."""
    given = [keyword.value for keyword in node.kwargs if keyword.key == "attribute"]
    place = ATTRIBUTE_AT.get(node.name)
    if place is not None:
        given += node.args[place : place + 1]
    if len(given) == 1 and isinstance(given[0], nodes.Const) and isinstance(given[0].value, str):
        return given[0].value
    return None


@dataclass(frozen=True, eq=False)
class Macro:
    """A macro, or the body of a call block, with where it was defined."""

    node: nodes.Macro | nodes.CallBlock
    scope: Scope
    file: str


@dataclass(frozen=True, eq=False)
class Module:
    """An imported template."""

    scope: Scope


@dataclass(frozen=True, eq=False)
class Blocks:
    """The bodies of the blocks of one rendering, the outermost template's first, and what they can see."""

    bodies: dict[str, list[tuple[nodes.Block, str]]]
    scope: Scope


@dataclass(frozen=True)
class BlockBody:
    """One of the bodies of a block."""

    blocks: Blocks
    name: str
    place: int = 0
