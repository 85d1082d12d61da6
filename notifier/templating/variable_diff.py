"""The variables of a template by its schema, and how those of two schemas differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A variable of a template."""

    path: str  # dotted, as settings write it; what is in a list has the list's path
    required: bool
    type: str  # of JSON; empty: any


@dataclass(frozen=True, kw_only=True)
class AlteredVariable:
    """A variable that differs between two schemas."""

    before: Variable
    after: Variable


@dataclass(frozen=True, kw_only=True)
class VariableDifferences:
    """How the variables of two schemas differ, by path."""

    added: tuple[Variable, ...]
    removed: tuple[Variable, ...]
    altered: tuple[AlteredVariable, ...]


def compare_variables(before: Mapping[str, Any], after: Mapping[str, Any]) -> VariableDifferences:
    """Compare the variables of two schemas."""
    old, new = ({variable.path: variable for variable in _iterate_variables(schema, "")} for schema in (before, after))
    common = sorted(old.keys() & new.keys())
    return VariableDifferences(
        added=tuple(new[path] for path in sorted(new.keys() - old.keys())),
        removed=tuple(old[path] for path in sorted(old.keys() - new.keys())),
        altered=tuple(AlteredVariable(before=old[path], after=new[path]) for path in common if old[path] != new[path]),
    )


def _iterate_variables(schema: Mapping[str, Any], prefix: str) -> Iterator[Variable]:
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        if isinstance(inner, Mapping):
            yield Variable(path=f"{prefix}{name}", required=name in required, type=_format_type(inner))
            yield from _iterate_variables(inner, f"{prefix}{name}.")
    if isinstance(items := schema.get("items"), Mapping):
        yield from _iterate_variables(items, prefix)
    for choice in schema.get("anyOf", ()):
        yield from _iterate_variables(choice, prefix)


def _format_type(schema: Mapping[str, Any]) -> str:
    types = schema.get("type", ())
    return " or ".join([types] if isinstance(types, str) else types)
