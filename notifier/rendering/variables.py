"""The variables of a template: their JSON Schema, derived from the sample, and what is wrong with a caller's values."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs
import msgspec

from notifier.errors import Fault

_SCALARS: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def schema_of(sample: Mapping[str, Any], optional: Iterable[str] = ()) -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) that values shaped like the sample satisfy.

    Every key is required unless its dotted path is in `optional`; unknown keys are refused at every level, except
    inside an object whose sample is empty. A null in the sample takes any value.
    """
    return _object_schema(sample, "", frozenset(optional))


def _object_schema(sample: Mapping[str, Any], path: str, optional: frozenset[str]) -> dict[str, Any]:
    if not sample and path:
        return {"type": "object"}
    return {
        "type": "object",
        "properties": {key: _schema(value, f"{path}{key}", optional) for key, value in sample.items()},
        "required": sorted(key for key in sample if f"{path}{key}" not in optional),
        "additionalProperties": False,
    }


def _schema(value: Any, path: str, optional: frozenset[str]) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return _object_schema(value, f"{path}.", optional)
    if isinstance(value, list):
        return {"type": "array"} | ({"items": _items_schema(value, path, optional)} if value else {})
    if value is None:
        return {}
    return {"type": _SCALARS[type(value)]}


def _items_schema(items: list[Any], path: str, optional: frozenset[str]) -> dict[str, Any]:
    """One schema for all items; of objects, a key that some items lack is optional."""
    if not all(isinstance(item, Mapping) for item in items):
        return _schema(items[0], path, optional)
    merged: dict[str, Any] = {}
    for item in items:
        merged = {**item, **merged}
    sometimes = {f"{path}.{key}" for key in merged if any(key not in item for item in items)}
    return _object_schema(merged, f"{path}.", optional | sometimes)


def faults_in(schema: Mapping[str, Any], variables: Any) -> list[Fault]:
    """Everything wrong with the values, each with a pointer below `/variables`."""
    found = []
    for error in _validator(msgspec.json.encode(schema)).iter_errors(variables):
        base = "/variables" + "".join(f"/{escape_pointer(str(part))}" for part in error.instance_path)
        found.extend(_faults_of(error, base))
    return sorted(found, key=lambda fault: fault.pointer)


@lru_cache(maxsize=1024)
def _validator(schema: bytes) -> Any:
    return jsonschema_rs.validator_for(msgspec.json.decode(schema))


def _faults_of(error: Any, base: str) -> list[Fault]:
    kind = error.kind
    if kind.name == "required":
        name = escape_pointer(kind.property)
        return [Fault(f"{base}/{name}", "missing_variable", "the template needs this variable")]
    if kind.name == "additionalProperties":
        return [
            Fault(f"{base}/{escape_pointer(name)}", "unknown_variable", "the template has no such variable")
            for name in kind.unexpected
        ]
    expected = " or ".join(kind.types) if kind.name == "type" else "another value"
    return [Fault(base, "wrong_variable_type", f"expected {expected}")]


def escape_pointer(name: str) -> str:
    """A name as one reference token of a JSON pointer (RFC 6901 §3)."""
    return name.replace("~", "~0").replace("/", "~1")


def at_path(variables: Mapping[str, Any], path: Iterable[str]) -> Any:
    """The value at a path, or None where it leads nowhere."""
    value: Any = variables
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def without(variables: Mapping[str, Any], optional: Iterable[str]) -> dict[str, Any]:
    """The values less those at the dotted paths, inside lists too: what the shortest allowed request looks like."""
    paths = {tuple(path.split(".")) for path in optional}
    return dict(_strip(variables, (), paths))


def _strip(value: Any, path: tuple[str, ...], paths: set[tuple[str, ...]]) -> Any:
    if isinstance(value, Mapping):
        return {key: _strip(inner, (*path, key), paths) for key, inner in value.items() if (*path, key) not in paths}
    if isinstance(value, list):
        return [_strip(item, path, paths) for item in value]
    return value
