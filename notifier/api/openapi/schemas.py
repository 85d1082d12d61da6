"""The schemas of the OpenAPI document: moved to its components, rewritten for client generators, with examples."""

import json
import re
from typing import Any

_SCHEMA_PREFIX = "#/components/schemas/"
_REFERENCE = re.compile(f'"{_SCHEMA_PREFIX}([^"]+)"')
_EXAMPLE_ID = "01936f0e-7d6a-7c3e-9b54-3f0a4c1d2e5b"
_EXAMPLE_TIME = "2026-01-31T12:00:00Z"
_EXAMPLE_VALUES: dict[str, Any] = {
    "action": "notification.cancelled",
    "actor": f"key:{_EXAMPLE_ID}",
    "address": "ada@example.com",
    "code": "invalid_address",
    "content_type": "application/pdf",
    "created_by": f"key:{_EXAMPLE_ID}",
    "defaults": {"template": "welcome", "variables": {"product": "Larkspur"}},
    "detail": "as the reply says",
    "filename": "invoice.pdf",
    "from": "Shop <hello@shop.example>",
    "from_address": "Shop <hello@shop.example>",
    "headers": {"X-Order": "4711"},
    "html": "<p>Welcome, Ada.</p>",
    "kind": "attempt",
    "locale": "en",
    "message_id": f"<{_EXAMPLE_ID}@shop.example>",
    "metadata": {"order": "4711"},
    "object_id": _EXAMPLE_ID,
    "object_kind": "notification",
    "phase": "data",
    "pointer": "/to",
    "relay": "smtp.example.com:587",
    "reply": "250 2.0.0 queued",
    "reply_to": "help@shop.example",
    "request_id": "9f2c4e1ab07d5536",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "statuses": {"sent": 990, "queued": 10},
    "subject": "Welcome to Larkspur",
    "tags": ["onboarding"],
    "template": "welcome",
    "text": "Welcome, Ada.",
    "title": "The request has faults",
    "to": "ada@example.com",
    "type": "/problems/invalid_address",
    "variables": {"name": "Ada", "product": "Larkspur"},
}
_FORMAT_EXAMPLES = {"uuid": _EXAMPLE_ID, "date-time": _EXAMPLE_TIME}
_LIMIT_KEYWORDS = {"minimum", "maximum"}
_DATA_KEYWORDS = {"example", "examples", "default", "enum", "const"}
"""Keywords whose values are data, not schemas."""


def move_body_schema(schemas: dict[str, Any], operation: dict[str, Any]) -> None:
    """Move the schema of a body that the route parses itself, with its parts, to the components."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content.get("schema", {})
        if "title" in schema:
            add_schema(schemas, schema["title"], schema)
            content["schema"] = {"$ref": _SCHEMA_PREFIX + schema["title"]}


def add_schema(schemas: dict[str, Any], name: str, schema: dict[str, Any]) -> None:
    """Add a schema and its `$defs` to the components. Raises `ValueError` if two different ones have the same name."""
    moved = json.loads(json.dumps(schema).replace("#/$defs/", _SCHEMA_PREFIX))
    for key, definition in {**moved.pop("$defs", {}), name: moved}.items():
        if schemas.setdefault(key, definition) != definition:
            raise ValueError(f"there are two schemas {key}")


def drop_unused_schemas(document: dict[str, Any]) -> None:
    """Drop schemas without a reference, such as FastAPI's own validation error."""
    schemas = document["components"]["schemas"]
    while unused := schemas.keys() - set(_REFERENCE.findall(json.dumps(document))):
        for name in unused:
            del schemas[name]


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
    if schema.get("type") == "boolean":
        schema.pop("const", None)  # generators for C# make an enum of numbers of it, which does not compile
    for limit in _LIMIT_KEYWORDS & set(schema):
        if isinstance(schema[limit], float) and schema[limit].is_integer():
            schema[limit] = int(schema[limit])
    if "anyOf" in schema and "title" in schema:
        for choice in schema["anyOf"]:
            if choice.get("type") == "object":  # otherwise its class would be named by its number in the choice
                choice.setdefault("title", schema["title"])


def add_examples(schemas: dict[str, Any]) -> None:
    """Add an example to each object, and each choice of objects, that has none."""
    for schema in schemas.values():
        if (schema.get("type") == "object" or "anyOf" in schema) and "examples" not in schema:
            schema["examples"] = [_build_example(schema, schemas, "")]


def _build_example(schema: dict[str, Any], schemas: dict[str, Any], name: str) -> Any:
    """Build a value that the schema allows; the table has the values of known properties."""
    if "$ref" in (first := schema.get("anyOf", [{}])[0]):  # that, or null
        schema = first | _get_narrowing_keywords(schema)
    if "$ref" in schema:
        return _build_example(
            schemas[schema["$ref"].removeprefix(_SCHEMA_PREFIX)] | _get_narrowing_keywords(schema), schemas, name
        )
    if "const" in schema:
        return schema["const"]
    if schema.get("examples"):
        return schema["examples"][0]
    if _is_number(schema):
        return max(schema.get("minimum", 1), 1)
    if "anyOf" in schema and name not in _EXAMPLE_VALUES:
        return _build_example(schema["anyOf"][0], schemas, name)
    values = [schema["default"]] if schema.get("default") is not None and name not in _EXAMPLE_VALUES else []
    values += schema.get("enum", [])
    values += [_FORMAT_EXAMPLES[schema["format"]]] if schema.get("format") in _FORMAT_EXAMPLES else []
    values += [_EXAMPLE_VALUES[name]] if name in _EXAMPLE_VALUES else []
    return values[0] if values else _build_example_of_type(schema, schemas, name)


def _build_example_of_type(schema: dict[str, Any], schemas: dict[str, Any], name: str) -> Any:
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        return {key: _build_example(inner, schemas, key) for key, inner in properties.items()}
    if schema.get("type") == "array":
        return [_build_example(schema.get("items", {}), schemas, name)]
    return {"boolean": True, "null": None}.get(schema.get("type", ""), "…")


def _is_number(schema: dict[str, Any]) -> bool:
    """Whether the schema is a number, which may be null."""
    return any(choice.get("type") in ("integer", "number") for choice in (schema, *schema.get("anyOf", [])))


def _get_narrowing_keywords(schema: dict[str, Any]) -> dict[str, Any]:
    return {keyword: schema[keyword] for keyword in ("default", "enum") if keyword in schema}
