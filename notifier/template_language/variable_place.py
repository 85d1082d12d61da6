"""Where a caller's values stand, and the names that a template gives to them."""

from collections import ChainMap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Final, Literal

import msgspec
from jinja2 import nodes


class VariableRead(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a part reads a variable."""

    path: tuple[str, ...]  # from the caller's variables on; "[]" for an item of a list
    file: str  # as in `TemplateSource.files`
    line: int  # from 1
    guarded: bool  # nothing fails here if a caller leaves the variable out
    present: int = 0  # leading steps of the path that are known to be there whenever this is read
    whole: bool = True  # the value itself is shown or handed on, so that everything in it counts as read


class LostError(Exception):
    """The parts do what cannot be followed, so that nothing may be said about what they do not need."""


@dataclass(frozen=True)
class Item:
    """A step to an item of a list; equal only if it is the same item."""

    which: object  # its number, "first", "last", or an object for each loop
    is_known: bool = True  # False: of a part of the list, so that nobody knows which item of the list it is


Path = tuple[str | Item, ...]


@dataclass(frozen=True)
class Place:
    """A value of the caller's, by where it stands among the variables."""

    path: Path
    fallback: Literal["", "empty", "other"] = ""  # what stands in for a missing value: nothing, "", or something else
    is_partial: bool = False  # a list of which only some items are meant


@dataclass(eq=False)
class Scope:
    """Names that a template has given; an imported file is one too."""

    names: "ChainMap[str, Named]" = field(default_factory=ChainMap)
    sees_variables: bool = True  # False: a file without context

    def create_child(self, names: "dict[str, Named] | None" = None) -> "Scope":
        """A scope within this one."""
        return Scope(self.names.new_child(names or {}), self.sees_variables)


@dataclass(frozen=True, eq=False)
class Macro:
    """A macro, or the body of a call block, with where it was defined."""

    node: nodes.Macro | nodes.CallBlock
    scope: Scope
    file: str


Named = Place | Macro | Scope | None
"""What a name or an expression stands for; None is something of the template's own."""
Condition = tuple[Any, ...] | None
"""As in a `ValueCheck`, with paths as they are here; None: it cannot be told."""
_EMPTY: Final = ("", False, None)


def count_present(path: Path, known: Iterable[Path]) -> int:
    """How many leading steps of the path are there: those of what was asked for, and those before it."""
    return max((_count_alike(path, other) for other in known), default=0)


def _count_alike(path: Path, other: Path) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(path, other, strict=False)))


def negate(condition: Condition) -> Condition:
    """The condition that holds where this one does not."""
    return None if condition is None else ("not", condition)


def list_implied(condition: Condition, *, holds: bool = True) -> Iterator[Path]:
    """The paths that are there if the condition holds, or if it does not."""
    if condition is None:
        return
    kind, *rest = condition
    if kind == "not":
        yield from list_implied(rest[0], holds=not holds)
    elif kind in ("and", "or"):
        left, right = ({*list_implied(inner, holds=holds)} for inner in rest)
        yield from left | right if holds is (kind == "and") else left & right
    elif kind in ("true", "defined") and holds:
        yield rest[0]


def is_empty_fallback(node: nodes.Filter) -> bool:
    """Whether the filter's default is nothing: an empty text or list, false or null."""
    if not node.args:
        return all(keyword.key == "boolean" for keyword in node.kwargs)
    fallback = node.args[0]
    if isinstance(fallback, nodes.List | nodes.Tuple | nodes.Dict):
        return not fallback.items
    return isinstance(fallback, nodes.Const) and fallback.value in _EMPTY
