"""The OpenAPI document: what FastAPI finds out, completed with what all routes have in common. It changes no route.

Routes are known by their paths, methods and schemas only, so that a new one is described without a word in here.
"""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from notifier.api.batches.models import FaultOut
from notifier.api.errors import problem_catalogue
from notifier.api.notifications import models
from notifier.api.openapi import examples, links, responses, schema_cleanup

API_DESCRIPTION = """\
POST a notification; it is durable at 202, and you can always find out what became of it.

Send `Authorization: Bearer ntf_live_…`. Fields that are not described are refused. Every error is
`application/problem+json` with a stable `code`, explained at `/problems/{code}`. Whatever may have been lost on the way
can be repeated with the same `Idempotency-Key`.
"""
TAGS = [
    {"name": "notifications", "description": "Submit mail, see what became of it, change your mind."},
    {"name": "batches", "description": "Up to a thousand notifications at once, and how far they have come."},
    {"name": "templates", "description": "What mail says: drafts, versions, layouts. They are the instance's."},
    {"name": "assets", "description": "Images for templates. They are the instance's."},
    {"name": "suppressions", "description": "Addresses that must not be mailed."},
    {"name": "audit", "description": "Who did what."},
    {"name": "keys", "description": "API keys: whose they are, and what they may do."},
    {"name": "webhooks", "description": "Be told of each change instead of asking."},
    {"name": "events", "description": "What is sent to webhook endpoints."},
    {"name": "problems", "description": "What each error code means and what to do."},
    {"name": "operation", "description": "For load balancers and monitoring: open to all, nothing secret."},
]
SERVERS = [
    {
        "url": "/",
        "description": "The server that this document comes from. A generated client is told the URL of yours.",
    }
]
LICENSE = {"name": "MIT", "identifier": "MIT"}
_SCHEMA_PREFIX = "#/components/schemas/"
_ID_FORMAT = {"format": "uuid"}
_SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key: `ntf_live_…`. What it may do is said by its scopes.",
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

    type: str = Field(description="Where the code is explained: `/problems/` and the code.")
    title: str
    status: int = Field(ge=400, le=599)
    code: str = Field(
        description="Stable; make decisions on it. When all faults have one code, it is theirs. There are: "
        + ", ".join(f"`{code}`" for code in sorted(problem_catalogue.PROBLEM_ENTRIES))
        + "."
    )
    detail: str
    errors: list[FaultOut] = Field(description="Each fault with a JSON pointer (RFC 6901) to it.")
    more_errors: int = models.describe_optional(
        "How many faults there are besides those in `errors`, which lists at most 100."
    )
    request_id: str = Field(description="By it the operator finds the request in the logs.")
    theirs: dict[str, Any] | None = models.describe_optional("Of a conflict between two who edit: what stands there.")
    yours: dict[str, Any] | None = models.describe_optional("And what you have sent.")
    diff: list[dict[str, Any]] = models.describe_optional(
        "What leads from theirs to yours: `file`, `change` and unified `diff`."
    )
    report: dict[str, Any] = models.describe_optional("Of `gate_closed`: who would break, and how.")


def format_document(document: dict[str, Any]) -> str:
    """The document as `openapi.json` has it."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def complete_document(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document with everything that it cannot know; the same object."""
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
        operation["security"] = []  # not a key but a signature, which OpenAPI has no word for
        operation["responses"] = {"2XX": {"description": "Received."}, "default": {"description": "Tell me again."}}
    links.add_links(document["paths"])
    schema_cleanup.clean_schemas(document)
    _drop_unused_schemas(document, schemas)
    examples.add_examples(schemas)
    return document


def _move_body_schema(schemas: dict[str, Any], operation: dict[str, Any]) -> None:
    """A body that the route parses itself came as a schema of its own; its parts go where references find them."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content.get("schema", {})
        if "$ref" not in schema and "title" in schema:
            _add_schema(schemas, schema["title"], schema)
            content["schema"] = {"$ref": _SCHEMA_PREFIX + schema["title"]}


def _add_body_types(operation: dict[str, Any]) -> None:
    """An answer that is no JSON is text, or bytes; without a schema generated clients have nothing to return."""
    for answer in operation["responses"].values():
        for media_type, content in answer.get("content", {}).items():
            binary = {"format": "binary"} if media_type.startswith("image/") else {}
            content.setdefault("schema", {"type": "string"} | binary)


def _add_schema(schemas: dict[str, Any], name: str, schema: dict[str, Any]) -> None:
    """Put a schema with its `$defs` among the others. Raises `ValueError` if two different ones have one name."""
    moved = json.loads(json.dumps(schema).replace("#/$defs/", _SCHEMA_PREFIX))
    for one, definition in {**moved.pop("$defs", {}), name: moved}.items():
        if schemas.setdefault(one, definition) != definition:
            raise ValueError(f"there are two schemas {one}")


def _narrow_parameters(path: str, operation: dict[str, Any]) -> None:
    """The id that stands in a path has a form; the routes take any text, because another is of nothing.

    A parameter that may be left out is not null: a URL and a header field have no way to say it.
    """
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        choices = [one for one in schema.pop("anyOf", ()) if one != {"type": "null"}]
        schema |= choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {}
        if parameter["in"] == "path" and parameter["name"].endswith("_id"):
            parameter["schema"] |= _ID_FORMAT
        elif parameter["in"] == "path" and path.startswith("/problems"):
            parameter["schema"] |= {"enum": sorted(problem_catalogue.PROBLEM_ENTRIES)}


def _drop_unused_schemas(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Drop what nothing refers to, such as FastAPI's own shape of a refusal."""
    while unused := [name for name in schemas if f'"{_SCHEMA_PREFIX}{name}"' not in json.dumps(document)]:
        for name in unused:
            del schemas[name]
