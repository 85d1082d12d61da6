"""Paths of variables, as templates read them, and their JSON pointers, as callers know them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

LIST_ITEM: Final = "[]"
"""In a path: any item of a list."""


def escape_pointer(name: str) -> str:
    """A name as one reference token of a JSON pointer (RFC 6901 §3)."""
    return name.replace("~", "~0").replace("/", "~1")


def find_values(variables: Any, path: Sequence[str], pointer: str = "") -> Iterator[tuple[str, Any]]:
    """The values at a path with their JSON pointers; "[]" stands for all items of a list."""
    if not path:
        yield pointer, variables
    elif path[0] == LIST_ITEM:
        for index, item in enumerate(variables if isinstance(variables, list) else ()):
            yield from find_values(item, path[1:], f"{pointer}/{index}")
    elif isinstance(variables, Mapping) and path[0] in variables:
        yield from find_values(variables[path[0]], path[1:], f"{pointer}/{escape_pointer(path[0])}")
