"""The JSON Schema of a template's variables, built from its sample, and the faults of a caller's values."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

import jsonschema_rs
import msgspec

from notifier.errors import Fault, escape_pointer
from notifier.strict_json import parse_number
from notifier.template_language.value_check import ValueCheck, find_refused_values, read_checks

VARIABLES_DECODER: Final = msgspec.json.Decoder(dict[str, Any], float_hook=parse_number)
"""Decodes a mail's variables; a number counts by its value, not by how it is written."""
HTTPS_PATTERN: Final = r"^https://[!-;=?-~]+$"
"""A link that may also stand in a mail's header."""
MAX_SUGGESTIONS = 5
MAX_REPORTED_ITEMS: Final = 2_000  # list items in one request's variables whose faults are all reported
MAX_SUGGESTED_LENGTH = 64
"""Characters of a name for which similar names are searched, which takes time."""
_TYPE_NAMES = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}
_SCALARS: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def build_schema(sample: Mapping[str, Any], optional: Iterable[str] = ()) -> dict[str, Any]:
    """Build a JSON Schema (draft 2020-12) for values shaped like the sample.

    Every key is required unless its dotted path is in `optional`; unknown keys are refused at every level, except
    inside an object whose sample is empty. A null in the sample takes any value.
    """
    return _build_object_schema(sample, "", frozenset(optional))


def _build_object_schema(sample: Mapping[str, Any], path: str, optional: frozenset[str]) -> dict[str, Any]:
    if not sample and path:
        return {"type": "object"}
    return {
        "type": "object",
        "properties": {key: _build_value_schema(value, f"{path}{key}", optional) for key, value in sample.items()},
        "required": sorted(key for key in sample if f"{path}{key}" not in optional),
        "additionalProperties": False,
    }


def _build_value_schema(value: Any, path: str, optional: frozenset[str]) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return _build_object_schema(value, f"{path}.", optional)
    if isinstance(value, list):
        return {"type": "array"} | ({"items": _build_items_schema(value, path, optional)} if value else {})
    if value is None:
        return {}
    return {"type": _SCALARS[type(value)]}


def _build_items_schema(items: list[Any], path: str, optional: frozenset[str]) -> dict[str, Any]:
    """One schema for all items; a key that some objects lack is optional."""
    if not all(isinstance(item, Mapping) for item in items):
        return _build_value_schema(items[0], path, optional)
    merged: dict[str, Any] = {}
    for item in items:
        merged = {**item, **merged}
    sometimes = {f"{path}.{key}" for key in merged if any(key not in item for item in items)}
    return _build_object_schema(merged, f"{path}.", optional | sometimes)


def find_variable_faults(schema: Mapping[str, Any], variables: Any) -> list[Fault]:
    """Find all faults of the values, each with a pointer below `/variables`."""
    faults: list[Fault] = []
    validator, checks = _compile_schema(msgspec.json.encode(schema))
    for error in _list_errors(validator, variables):
        base = "/variables" + "".join(f"/{escape_pointer(str(part))}" for part in error.instance_path)
        faults.extend(_list_faults(error, base, schema if len(faults) < MAX_SUGGESTIONS else {}))
    if checks:
        faults += find_refused_values(checks, variables, known={fault.pointer for fault in faults})
    return sorted(faults, key=lambda fault: fault.pointer)


def _list_errors(validator: Any, variables: Any) -> list[Any]:
    """The errors of the values; in long lists only those of the first items.

    The library creates all errors at once, about 10 µs each, and blocks other threads meanwhile.
    """
    if validator.is_valid(variables):
        return []
    errors = list(validator.iter_errors(_truncate_lists(variables, [MAX_REPORTED_ITEMS])))
    if not errors:
        try:
            validator.validate(variables)
        except jsonschema_rs.ValidationError as error:
            errors = [error]
    return errors


def _truncate_lists(value: Any, budget: list[int]) -> Any:
    """The value with the first items of its lists, `budget[0]` items altogether."""
    if isinstance(value, Mapping):
        return {key: _truncate_lists(inner, budget) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    items = []
    for item in value:
        if budget[0] <= 0:
            break
        budget[0] -= 1
        items.append(_truncate_lists(item, budget))
    return items


@lru_cache(maxsize=1024)
def _compile_schema(text: bytes) -> tuple[Any, list[ValueCheck]]:
    schema = msgspec.json.decode(text)
    return jsonschema_rs.validator_for(schema), read_checks(schema)


def _list_faults(error: Any, base: str, schema: Mapping[str, Any]) -> list[Fault]:
    kind = error.kind
    if kind.name == "required":
        name = escape_pointer(kind.property)
        return [Fault(f"{base}/{name}", "missing_variable", "the template needs this variable")]
    if kind.name == "additionalProperties":
        known = _list_names_at(schema, error.schema_path[:-1])
        nearest = {name: _suggest_name(name, known - set(error.instance)) for name in kind.unexpected[:MAX_SUGGESTIONS]}
        detail = "the template has no such variable"
        return [
            Fault(f"{base}/{escape_pointer(name)}", "unknown_variable", f"{detail}{nearest.get(name, '')}")
            for name in kind.unexpected
        ]
    return [Fault(base, "wrong_variable_type", _describe_expectation(error))]


def _list_names_at(schema: Mapping[str, Any], path: Iterable[str | int]) -> set[str]:
    """The property names in the schema at this path."""
    for step in path:
        schema = schema.get(str(step), {})
    return set(schema.get("properties", ()))


def _suggest_name(name: str, known: Iterable[str]) -> str:
    """A suggestion, if there is a similar name that was not sent."""
    similar = get_close_matches(name, sorted(known), 1) if len(name) <= MAX_SUGGESTED_LENGTH else []
    return f"; did you mean {similar[0]}?" if similar else ""


def _describe_expectation(error: Any) -> str:
    """The expected kind and the kind that was sent; never the value itself."""
    kind = error.kind
    if kind.name == "type":
        return f"expected {' or '.join(kind.types)}, but this is {_TYPE_NAMES.get(type(error.instance), 'a number')}"
    if kind.name == "pattern" and kind.pattern == HTTPS_PATTERN:
        return "expected a link that begins with https:// and has neither spaces nor letters beyond ASCII"
    if kind.name == "maxLength":
        return f"expected at most {kind.limit} characters"
    return "expected another value"


def remove_optional(variables: Mapping[str, Any], optional: Iterable[str]) -> dict[str, Any]:
    """The values without those at the dotted paths, also inside lists: the shortest allowed request."""
    paths = {tuple(path.split(".")) for path in optional}
    return dict(_remove_paths(variables, (), paths))


def _remove_paths(value: Any, path: tuple[str, ...], paths: set[tuple[str, ...]]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _remove_paths(inner, (*path, key), paths) for key, inner in value.items() if (*path, key) not in paths
        }
    if isinstance(value, list):
        return [_remove_paths(item, path, paths) for item in value]
    return value
