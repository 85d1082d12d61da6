"""Rewrites schemas of the OpenAPI document that are correct but that client generators read wrongly."""

from typing import Any

_LIMIT_KEYWORDS = {"minimum", "maximum"}
_DATA_KEYWORDS = {"example", "examples", "default", "enum", "const"}
"""Keywords whose values are data, not schemas."""


def clean_schemas(value: Any) -> None:
    """Rewrite every schema in this part of the document, in place."""
    if isinstance(value, list):
        for inner in value:
            clean_schemas(inner)
    elif isinstance(value, dict):
        _clean_schema(value)
        for name, inner in value.items():
            if name not in _DATA_KEYWORDS:
                clean_schemas(inner)


def _clean_schema(schema: dict[str, Any]) -> None:
    if schema.get("default", ...) is None:
        del schema["default"]  # it has no meaning, and is invalid beside a type
    if "$ref" in schema and "enum" in schema:  # the enum narrows the reference, which generators ignore
        del schema["$ref"]
        schema["type"] = "string"
    for limit in _LIMIT_KEYWORDS & set(schema):
        if isinstance(schema[limit], float) and schema[limit].is_integer():
            schema[limit] = int(schema[limit])
    if "anyOf" in schema and "title" in schema:
        for choice in schema["anyOf"]:
            if choice.get("type") == "object":  # otherwise its class would be named by its number in the choice
                choice.setdefault("title", schema["title"])
