"""The OpenAPI document: what FastAPI finds out, completed with what all routes have in common. It changes no route.

Routes are known by their paths, methods and schemas only, so that a new one is described without a word in here.
"""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, Field

from notifier.api import catalogue, example
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
    {"name": "suppressions", "description": "Addresses that must not be mailed."},
    {"name": "audit", "description": "Who did what."},
    {"name": "keys", "description": "API keys: whose they are, and what they may do."},
    {"name": "webhooks", "description": "Be told of each change instead of asking."},
    {"name": "problems", "description": "What each error code means and what to do."},
    {"name": "operation", "description": "For load balancers and monitoring: open to all, nothing secret."},
]
_SCHEMA = "#/components/schemas/"
_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key: `ntf_live_…`. What it may do is said by its scopes.",
}
_HEADERS = {
    "Location": ("Where the new thing is.", {"type": "string"}),
    "IdempotentReplayed": ("`true` if an earlier request had this key, and its answer is given.", {"const": "true"}),
    "Link": ('The next page: `<…>; rel="next"` (RFC 8288); absent on the last one.', {"type": "string"}),
    "RetryAfter": ("Seconds to wait before the request is repeated.", {"type": "string", "pattern": "^[0-9]+$"}),
    "WWWAuthenticate": ("How to authenticate (RFC 6750).", {"type": "string"}),
}
_WIRE_NAMES = {"IdempotentReplayed": "Idempotent-Replayed", "RetryAfter": "Retry-After"} | {
    "WWWAuthenticate": "WWW-Authenticate"
}
_MEANINGS = {
    "400": "The request cannot be understood.",
    "401": "No valid API key.",
    "403": "The key may not do this.",
    "404": "There is no such thing, or it is not yours.",
    "409": "It cannot be done as things stand.",
    "413": "The body is too large.",
    "415": "The body is no JSON.",
    "422": "The request has faults; `errors` lists all.",
    "429": "Too many requests.",
    "500": "Something went wrong on our side.",
    "503": "Not accepted, or not confirmed; try again.",
}
_HEADERS_OF = {"401": "WWWAuthenticate", "409": "RetryAfter", "429": "RetryAfter", "503": "RetryAfter"}


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

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
    request_id: str = Field(description="By it the operator finds the request in the logs.")


def text(document: dict[str, Any]) -> str:
    """The document as `openapi.json` has it."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document with everything that it cannot know; the same object."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    _add(schemas, "Problem", Problem.model_json_schema())
    components["securitySchemes"] = {"key": _KEY}
    components["headers"] = {name: {"description": why, "schema": kind} for name, (why, kind) in _HEADERS.items()}
    components["responses"] = {f"Problem{status}": _problem(status) for status in _MEANINGS}
    components["responses"]["Problem"] = _problem("default")
    for path, operation in _operations(document["paths"]):
        _hoist(schemas, operation)
        _declare(path, operation)
    for _, operation in _operations(document.get("webhooks", {})):
        operation["responses"] = {"2XX": {"description": "Received."}, "default": {"description": "Tell me again."}}
    _link(document["paths"])
    _drop_unused(document, schemas)
    example.add_all(schemas)
    return document


def _operations(paths: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in paths.items():
        for operation in methods.values():
            yield path, operation


def _hoist(schemas: dict[str, Any], operation: dict[str, Any]) -> None:
    """A body that the route parses itself came as a schema of its own; its parts go where references find them."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content.get("schema", {})
        if "$ref" not in schema and "title" in schema:
            _add(schemas, schema["title"], schema)
            content["schema"] = {"$ref": _SCHEMA + schema["title"]}


def _add(schemas: dict[str, Any], name: str, schema: dict[str, Any]) -> None:
    """Put a schema with its `$defs` among the others. Raises `ValueError` if two different ones have one name."""
    moved = json.loads(json.dumps(schema).replace("#/$defs/", _SCHEMA))
    for one, definition in {**moved.pop("$defs", {}), name: moved}.items():
        if schemas.setdefault(one, definition) != definition:
            raise ValueError(f"there are two schemas {one}")


def _declare(path: str, operation: dict[str, Any]) -> None:
    """Security, problems and headers of one operation."""
    responses = operation["responses"]
    if "HTTPValidationError" in json.dumps(responses.get("422")):
        del responses["422"]
    is_ours = path.startswith("/v1")
    if is_ours:
        operation["security"] = [{"key": []}]
    for status, response in responses.items():
        _name_headers(operation, status, response)
    for status in _problems_of(path, operation):
        codes = catalogue.codes_of(int(status), operation["operationId"])
        if status != "409" or codes:
            responses.setdefault(status, _with_codes(status, codes))
    if is_ours or "{" in path:
        responses["default"] = {"$ref": "#/components/responses/Problem"}


def _problems_of(path: str, operation: dict[str, Any]) -> list[str]:
    """The statuses with which it can refuse."""
    if not path.startswith("/v1"):
        return ["404"] if "{" in path else []
    with_body = ["400", "413", "415"] if "requestBody" in operation else []
    with_id = ["404"] if "{" in path else []
    return sorted(["401", "403", "409", "422", "429", "500", "503", *with_body, *with_id])


def _with_codes(status: str, codes: list[str]) -> dict[str, Any]:
    """The shared response, or for a conflict one that names the codes of this operation."""
    if status != "409":
        return {"$ref": f"#/components/responses/Problem{status}"}
    return _problem(status) | {"description": "; ".join(f"`{c}`: {catalogue.ENTRIES[c].meaning}" for c in codes)}


def _problem(status: str) -> dict[str, Any]:
    described = {
        "description": _MEANINGS.get(status, "Any other refusal."),
        "content": {"application/problem+json": {"schema": {"$ref": _SCHEMA + "Problem"}}},
    }
    return described | ({"headers": _header(_HEADERS_OF[status])} if status in _HEADERS_OF else {})


def _header(name: str) -> dict[str, Any]:
    return {_WIRE_NAMES.get(name, name): {"$ref": f"#/components/headers/{name}"}}


def _name_headers(operation: dict[str, Any], status: str, response: dict[str, Any]) -> None:
    """What a reply that is no refusal says in its head."""
    names = {parameter["name"].lower() for parameter in operation.get("parameters", [])}
    found: dict[str, Any] = {}
    if status in ("201", "202"):
        found |= _header("Location")
    if status == "202" and "idempotency-key" in names:
        found |= _header("IdempotentReplayed")
    if status == "200" and "before" in names:
        found |= _header("Link")
    if found:
        response["headers"] = found


def _link(paths: dict[str, Any]) -> None:
    """From what is made to all that can be done with it: by the path in which its id stands."""
    for path, operation in _operations(paths):
        for status, response in operation["responses"].items():
            made = {"/v1/notifications/batch": ("/v1/batches", "batch_id")}.get(path, (path, "id"))
            if status in ("201", "202") and operation["operationId"].startswith(("submit", "add", "create")):
                response["links"] = dict(_links(paths, *made))


def _links(paths: dict[str, Any], place: str, id_: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operation in _operations(paths):
        parts = path.removeprefix(place + "/{").split("}")
        if path.startswith(place + "/{") and "{" not in parts[1]:
            name = operation["operationId"]
            yield name, {"operationId": name, "parameters": {parts[0]: f"$response.body#/{id_}"}}


def _drop_unused(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    """FastAPI's own shape of a refusal, which nothing refers to any more."""
    for name in ("HTTPValidationError", "ValidationError"):
        if f'"{_SCHEMA}{name}"' not in json.dumps(document):
            schemas.pop(name, None)
