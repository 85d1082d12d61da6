"""Paths of variables, as templates read them, and their JSON pointers, as callers know them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

LIST_ITEM: Final = "[]"
"""In a path: any item of a list."""


PathStep = str | int
"""A step of a path: a name, "[]" for each item of a list, or the index of an item."""
ItemIndices = tuple[int, ...]
"""The index of a value in each list of its path."""


def escape_pointer(name: str) -> str:
    """A name as one reference token of a JSON pointer (RFC 6901 §3)."""
    return name.replace("~", "~0").replace("/", "~1")


def find_values(variables: Any, path: Sequence[PathStep], pointer: str = "") -> Iterator[tuple[str, Any]]:
    """The values at a path with their JSON pointers; "[]" stands for all items of a list."""
    return ((pointer, value) for pointer, value, _ in locate_values(variables, path, pointer))


def locate_values(
    variables: Any, path: Sequence[PathStep], pointer: str = "", indices: ItemIndices = ()
) -> Iterator[tuple[str, Any, ItemIndices]]:
    """The same with the index of each value in the lists that "[]" stands for."""
    if not path:
        yield pointer, variables, indices
        return
    step, rest = path[0], path[1:]
    if step == LIST_ITEM:
        for index, item in enumerate(variables if isinstance(variables, list) else ()):
            yield from locate_values(item, rest, f"{pointer}/{index}", (*indices, index))
    elif isinstance(step, int):
        if isinstance(variables, list) and -len(variables) <= step < len(variables):
            yield from locate_values(variables[step], rest, f"{pointer}/{step % len(variables)}", indices)
    elif isinstance(variables, Mapping) and step in variables:
        yield from locate_values(variables[step], rest, f"{pointer}/{escape_pointer(step)}", indices)
