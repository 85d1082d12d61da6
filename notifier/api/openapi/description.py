"""Completes FastAPI's OpenAPI document with everything that all routes have in common.

It reads only the paths, methods and schemas of routes, so a new route needs no change here.
"""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from notifier.api import fields
from notifier.api.batches.models import FaultOut
from notifier.api.errors import problem_catalogue
from notifier.api.openapi import examples, links, responses, schema_cleanup

API_DESCRIPTION = """\
POST a notification. At 202 it is stored durably, and you can always find out what happened to it.

Send `Authorization: Bearer ntf_live_…`. Unknown fields are refused. Every error is
`application/problem+json` with a stable `code`, explained at `/problems/{code}`. If a reply was lost, repeat the
request with the same `Idempotency-Key`.
"""
TAGS = [
    {"name": "notifications", "description": "Submit mail, find out what happened to it, cancel or change it."},
    {"name": "batches", "description": "Up to a thousand notifications at once, and their progress."},
    {"name": "templates", "description": "The texts of mail: drafts, versions, layouts. They belong to the instance."},
    {"name": "assets", "description": "Images for templates. They belong to the instance."},
    {"name": "suppressions", "description": "Addresses that must not be mailed."},
    {"name": "audit", "description": "Who did what to which object."},
    {"name": "keys", "description": "API keys, and what they may do."},
    {"name": "webhooks", "description": "Receive each change instead of polling."},
    {"name": "events", "description": "The requests that are sent to webhook endpoints."},
    {"name": "problems", "description": "What each error code means and what to do."},
    {"name": "operation", "description": "For load balancers and monitoring. They need no key and hold no secret."},
]
SERVERS = [
    {
        "url": "/",
        "description": "The server that serves this document. Set the URL of your server in a generated client.",
    }
]
LICENSE = {"name": "MIT", "identifier": "MIT"}
_SCHEMA_PREFIX = "#/components/schemas/"
_ID_FORMAT = {"format": "uuid"}
_SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key: `ntf_live_…`. Its scopes say what it may do.",
}
_PROBLEM_EXAMPLE: JsonValue = {
    "type": "/problems/invalid_address",
    "title": "The request has faults",
    "status": 422,
    "code": "invalid_address",
    "detail": "/to: it has no @",
    "errors": [{"pointer": "/to", "code": "invalid_address", "detail": "it has no @"}],
    "request_id": "9f2c4e1ab07d5536",
}


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PROBLEM_EXAMPLE]})

    type: str = Field(description="The page that explains the code: `/problems/` and the code.")
    title: str
    status: int = Field(ge=400, le=599)
    code: str = Field(
        description="Stable: let your program decide by it. If all faults have the same code, it is that code. One of "
        + ", ".join(f"`{code}`" for code in sorted(problem_catalogue.PROBLEM_ENTRIES))
        + "."
    )
    detail: str
    errors: list[FaultOut] = Field(description="The faults, each with a JSON pointer (RFC 6901).")
    more_errors: int = fields.describe_optional("Number of faults that are not in `errors`, which lists at most 100.")
    request_id: str = Field(description="By this id the operator finds the request in the logs.")
    theirs: dict[str, Any] | None = fields.describe_optional("In an edit conflict: the stored state.")
    yours: dict[str, Any] | None = fields.describe_optional("In an edit conflict: what you sent.")
    diff: list[dict[str, Any]] = fields.describe_optional(
        "The differences from theirs to yours: `file`, `change` and unified `diff`."
    )
    report: dict[str, Any] = fields.describe_optional("In `gate_closed`: which callers would break, and how.")


def format_document(document: dict[str, Any]) -> str:
    """Format the document as in `openapi.json`."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def complete_document(document: dict[str, Any]) -> dict[str, Any]:
    """Complete FastAPI's document in place, and return it."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    _add_schema(schemas, "Problem", Problem.model_json_schema())
    components["securitySchemes"] = {"key": _SECURITY_SCHEME}
    components |= responses.build_components()
    for path, operation in links.iterate_operations(document["paths"]):
        _move_body_schema(schemas, operation)
        _add_body_types(operation)
        _narrow_parameters(path, operation)
        operation["security"] = [{"key": []}] if path.startswith("/v1") else []
        responses.declare_responses(path, operation)
    for _, operation in links.iterate_operations(document.get("webhooks", {})):
        operation["security"] = []  # a signature, which OpenAPI cannot describe
        operation["responses"] = {
            "2XX": {"description": "Received."},
            "default": {"description": "Any other status: the delivery is retried."},
        }
    links.add_links(document["paths"])
    schema_cleanup.clean_schemas(document)
    _drop_unused_schemas(document, schemas)
    examples.add_examples(schemas)
    return document


def _move_body_schema(schemas: dict[str, Any], operation: dict[str, Any]) -> None:
    """Move the schema of a body that the route parses itself, with its parts, to the components."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content.get("schema", {})
        if "$ref" not in schema and "title" in schema:
            _add_schema(schemas, schema["title"], schema)
            content["schema"] = {"$ref": _SCHEMA_PREFIX + schema["title"]}


def _add_body_types(operation: dict[str, Any]) -> None:
    """Add the schema of an answer that is not JSON; without one, generated clients return nothing."""
    for answer in operation["responses"].values():
        for media_type, content in answer.get("content", {}).items():
            binary = {"format": "binary"} if media_type.startswith("image/") else {}
            content.setdefault("schema", {"type": "string"} | binary)


def _add_schema(schemas: dict[str, Any], name: str, schema: dict[str, Any]) -> None:
    """Add a schema and its `$defs` to the components. Raises `ValueError` if two different ones have the same name."""
    moved = json.loads(json.dumps(schema).replace("#/$defs/", _SCHEMA_PREFIX))
    for key, definition in {**moved.pop("$defs", {}), name: moved}.items():
        if schemas.setdefault(key, definition) != definition:
            raise ValueError(f"there are two schemas {key}")


def _narrow_parameters(path: str, operation: dict[str, Any]) -> None:
    """Describe ids in paths, which routes accept as any text, and drop null from optional parameters.

    URLs and header fields cannot express null.
    """
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        choices = [choice for choice in schema.pop("anyOf", ()) if choice != {"type": "null"}]
        schema |= choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {}
        if parameter["in"] == "path" and parameter["name"].endswith("_id"):
            parameter["schema"] |= _ID_FORMAT
        elif parameter["in"] == "path" and path.startswith("/problems"):
            parameter["schema"] |= {"enum": sorted(problem_catalogue.PROBLEM_ENTRIES)}


def _drop_unused_schemas(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Drop schemas without a reference, such as FastAPI's own validation error."""
    while unused := [name for name in schemas if f'"{_SCHEMA_PREFIX}{name}"' not in json.dumps(document)]:
        for name in unused:
            del schemas[name]
