"""Describes the errors of pydantic in the words of JSON. A value itself is never repeated, because it may be secret."""

from collections.abc import Callable, Mapping
from typing import Any

from notifier.api import fields, pagination

_EXPECTED_TYPES = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "list_type": "an array []",
    "dict_type": "an object {}",
    "model_type": "an object {}",
    "model_attributes_type": "an object {}",
}
"""The expected type, for errors about another type."""
_PATTERN_DESCRIPTIONS: dict[str, str] = {
    fields.LOCALE_PATTERN: "a language tag such as en or fr-CA (BCP 47)",
    pagination.NO_NUL: "NUL cannot stand in it",
}
_SENTENCES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "string_too_long": lambda limits: f"at most {limits['max_length']} characters",
    "string_too_short": lambda limits: f"at least {limits['min_length']} character(s)",
    "too_long": lambda limits: f"at most {limits['max_length']} entries",
    "too_many_names": lambda limits: f"at most {limits['max_length']} fields",
    "time_out_of_range": lambda _: "in UTC it has a year before 1 or after 9999",
    "too_short": lambda limits: f"at least {limits['min_length']} entry(s)",
    "greater_than_equal": lambda limits: f"at least {limits['ge']}",
    "less_than_equal": lambda limits: f"at most {limits['le']}",
    "enum": lambda limits: _list_choices(limits["expected"]),
    "literal_error": lambda limits: _list_choices(limits["expected"]),
    "string_pattern_mismatch": lambda limits: _PATTERN_DESCRIPTIONS.get(
        limits["pattern"], "this text has another form"
    ),
    "value_error": lambda limits: str(limits["error"]),
    "timezone_aware": lambda _: "a time needs an offset, such as Z or +01:00",
    "int_parsing": lambda _: "expected a whole number",
    "int_parsing_size": lambda _: "this number is too large",
    "bool_parsing": lambda _: "expected true or false",
    "uuid_parsing": lambda _: "expected an id, such as 01890a5d-ac96-774b-bcce-b302099a8057",
}
_TYPE_NAMES = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array []",
    dict: "an object {}",
}


def describe_error(error: Any) -> str:
    """Describe a pydantic error in a phrase."""
    kind = error["type"]
    if kind in _EXPECTED_TYPES:
        return f"expected {_EXPECTED_TYPES[kind]}, but this is {name_type(error['input'])}"
    if kind in _SENTENCES:
        return _SENTENCES[kind](error.get("ctx", {}))
    return fields.TIME_FORM if kind.startswith("datetime_") else "this value cannot stand here"


def name_type(value_: Any) -> str:
    """Name the JSON type of a value."""
    if isinstance(value_, bool):
        return "true" if value_ else "false"
    return _TYPE_NAMES.get(type(value_), "something else")


def _list_choices(choices: str) -> str:
    """List the allowed values with JSON's quotes."""
    return "expected " + choices.replace("'", '"')
