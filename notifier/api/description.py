"""The OpenAPI document: what FastAPI finds out, completed with what all routes have in common. It changes no route.

Routes are known by their paths, methods and schemas only, so that a new one is described without a word in here.
"""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from notifier.api import answers, catalogue, example, links, reply, schema_cleanup
from notifier.api.batch import FaultOut

ABOUT = """\
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
_SCHEMA = "#/components/schemas/"
_AN_ID = {"format": "uuid"}
_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key: `ntf_live_…`. What it may do is said by its scopes.",
}


_REFUSAL: JsonValue = {
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

    model_config = ConfigDict(json_schema_extra={"examples": [_REFUSAL]})

    type: str = Field(description="Where the code is explained: `/problems/` and the code.")
    title: str
    status: int = Field(ge=400, le=599)
    code: str = Field(
        description="Stable; make decisions on it. When all faults have one code, it is theirs. There are: "
        + ", ".join(f"`{code}`" for code in sorted(catalogue.ENTRIES))
        + "."
    )
    detail: str
    errors: list[FaultOut] = Field(description="Each fault with a JSON pointer (RFC 6901) to it.")
    more_errors: int = reply.sometimes("How many faults there are besides those in `errors`, which lists at most 100.")
    request_id: str = Field(description="By it the operator finds the request in the logs.")
    theirs: dict[str, Any] | None = reply.sometimes("Of a conflict between two who edit: what stands there.")
    yours: dict[str, Any] | None = reply.sometimes("And what you have sent.")
    diff: list[dict[str, Any]] = reply.sometimes(
        "What leads from theirs to yours: `file`, `change` and unified `diff`."
    )
    report: dict[str, Any] = reply.sometimes("Of `gate_closed`: who would break, and how.")


def text(document: dict[str, Any]) -> str:
    """The document as `openapi.json` has it."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document with everything that it cannot know; the same object."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    _add(schemas, "Problem", Problem.model_json_schema())
    components["securitySchemes"] = {"key": _KEY}
    components |= answers.components()
    for path, operation in links.operations(document["paths"]):
        _hoist(schemas, operation)
        _add_body_types(operation)
        _narrow(path, operation)
        operation["security"] = [{"key": []}] if path.startswith("/v1") else []
        answers.declare(path, operation)
    for _, operation in links.operations(document.get("webhooks", {})):
        operation["security"] = []  # not a key but a signature, which OpenAPI has no word for
        operation["responses"] = {"2XX": {"description": "Received."}, "default": {"description": "Tell me again."}}
    links.add(document["paths"])
    schema_cleanup.clean_schemas(document)
    _drop_unused(document, schemas)
    example.add_all(schemas)
    return document


def _hoist(schemas: dict[str, Any], operation: dict[str, Any]) -> None:
    """A body that the route parses itself came as a schema of its own; its parts go where references find them."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content.get("schema", {})
        if "$ref" not in schema and "title" in schema:
            _add(schemas, schema["title"], schema)
            content["schema"] = {"$ref": _SCHEMA + schema["title"]}


def _add_body_types(operation: dict[str, Any]) -> None:
    """An answer that is no JSON is text, or bytes; without a schema generated clients have nothing to return."""
    for answer in operation["responses"].values():
        for media_type, content in answer.get("content", {}).items():
            binary = {"format": "binary"} if media_type.startswith("image/") else {}
            content.setdefault("schema", {"type": "string"} | binary)


def _add(schemas: dict[str, Any], name: str, schema: dict[str, Any]) -> None:
    """Put a schema with its `$defs` among the others. Raises `ValueError` if two different ones have one name."""
    moved = json.loads(json.dumps(schema).replace("#/$defs/", _SCHEMA))
    for one, definition in {**moved.pop("$defs", {}), name: moved}.items():
        if schemas.setdefault(one, definition) != definition:
            raise ValueError(f"there are two schemas {one}")


def _narrow(path: str, operation: dict[str, Any]) -> None:
    """The id that stands in a path has a form; the routes take any text, because another is of nothing.

    A parameter that may be left out is not null: a URL and a header field have no way to say it.
    """
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        choices = [one for one in schema.pop("anyOf", ()) if one != {"type": "null"}]
        schema |= choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {}
        if parameter["in"] == "path" and parameter["name"].endswith("_id"):
            parameter["schema"] |= _AN_ID
        elif parameter["in"] == "path" and path.startswith("/problems"):
            parameter["schema"] |= {"enum": sorted(catalogue.ENTRIES)}


def _drop_unused(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Drop what nothing refers to, such as FastAPI's own shape of a refusal."""
    while unused := [name for name in schemas if f'"{_SCHEMA}{name}"' not in json.dumps(document)]:
        for name in unused:
            del schemas[name]
