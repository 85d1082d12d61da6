"""How the variables of a template differ between two schemas."""

from collections.abc import Iterator, Mapping
from typing import Any

from notifier.templating.gate.report import Altered, Variable

Differing = tuple[tuple[Variable, ...], tuple[Variable, ...], tuple[Altered, ...]]


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> Differing:
    """The variables that were added, those that were removed, and those that are not what they were."""
    old, new = ({one.path: one for one in _variables(schema, "")} for schema in (before, after))
    return (
        tuple(new[path] for path in sorted(new.keys() - old.keys())),
        tuple(old[path] for path in sorted(old.keys() - new.keys())),
        tuple(Altered(before=old[p], after=new[p]) for p in sorted(old.keys() & new.keys()) if old[p] != new[p]),
    )


def _variables(schema: Mapping[str, Any], prefix: str) -> Iterator[Variable]:
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        if isinstance(inner, Mapping):
            yield Variable(path=f"{prefix}{name}", required=name in required, type=_type(inner))
            yield from _variables(inner, f"{prefix}{name}.")
    if isinstance(items := schema.get("items"), Mapping):
        yield from _variables(items, prefix)
    for choice in schema.get("anyOf", ()):
        yield from _variables(choice, prefix)


def _type(schema: Mapping[str, Any]) -> str:
    types = schema.get("type", ())
    return " or ".join([types] if isinstance(types, str) else types)
