"""Completes FastAPI's OpenAPI document: security, parameters, responses, links and schemas of all routes.

A new route needs no change here.
"""

import json
from typing import Any

from notifier.api.errors import problem_catalogue, problem_document
from notifier.api.openapi import responses, schemas

API_DESCRIPTION = """\
POST a notification. At 202 it is stored durably, and you can always find out what happened to it.

Send `Authorization: Bearer ntf_live_…`. Unknown fields are refused. Every error is
`application/problem+json` with a stable `code`, explained at `/problems/{code}`. If a reply was lost, repeat the
request with the same `Idempotency-Key`.

Every response has an `X-Request-Id`, which you may send: 1 to 64 letters, digits, `.`, `_` or `-`. The operator finds
the request in the logs with it.
"""
TAGS = [
    {"name": "notifications", "description": "Submit mail, find out what happened to it, cancel or change it."},
    {"name": "batches", "description": "Up to a thousand notifications at once, and their progress."},
    {"name": "templates", "description": "The texts of mail: drafts, versions, layouts. They belong to the instance."},
    {"name": "assets", "description": "Images for templates. They belong to the instance."},
    {"name": "jobs", "description": "Long work in small steps: its progress, and cancel, pause, resume, retry."},
    {"name": "schedules", "description": "When jobs begin again and again."},
    {"name": "services", "description": "The services of the instance, for admin keys."},
    {"name": "statistics", "description": "How many notifications each hour or day had, and how quick they were."},
    {"name": "feeds", "description": "Documents of others that jobs load, and their revisions."},
    {"name": "merges", "description": "Mail merge: each row of a spreadsheet becomes one notification."},
    {"name": "suppressions", "description": "Addresses that must not be mailed."},
    {"name": "audit", "description": "Who did what to which object."},
    {"name": "keys", "description": "API keys, and what they may do."},
    {"name": "staff", "description": "People who sign in to the console, and what they may do."},
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
_ID_FORMAT = {"format": "uuid"}
_SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key: `ntf_live_…`. Its scopes say what it may do.",
}


def format_document(document: dict[str, Any]) -> str:
    """Format the document as in `openapi.json`."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def complete_document(document: dict[str, Any]) -> dict[str, Any]:
    """Complete FastAPI's document in place, and return it."""
    components = document.setdefault("components", {})
    models = components.setdefault("schemas", {})
    schemas.add_schema(models, "Problem", problem_document.Problem.model_json_schema())
    components["securitySchemes"] = {"key": _SECURITY_SCHEME}
    components |= responses.build_components()
    for path, operation in responses.iterate_operations(document["paths"]):
        schemas.move_body_schema(models, operation)
        _add_body_types(operation)
        _narrow_parameters(path, operation)
        operation["security"] = [{"key": []}] if path.startswith("/v1") else []
        responses.declare_responses(path, operation)
    for _, operation in responses.iterate_operations(document.get("webhooks", {})):
        operation["security"] = []  # a signature, which OpenAPI cannot describe
        operation["responses"] = {
            "2XX": {"description": "Received."},
            "default": {"description": "Any other status: the delivery is retried."},
        }
    responses.add_links(document["paths"])
    schemas.clean_schemas(document)
    schemas.drop_unused_schemas(document)
    schemas.add_examples(models)
    return document


def _add_body_types(operation: dict[str, Any]) -> None:
    """Add the schema of answers that are not JSON; without it, generated clients return nothing."""
    for answer in operation["responses"].values():
        for media_type, content in answer.get("content", {}).items():
            binary = {"format": "binary"} if media_type.startswith("image/") else {}
            content.setdefault("schema", {"type": "string"} | binary)


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
