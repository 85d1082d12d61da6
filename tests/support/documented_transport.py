"""Compares every API response in a test with openapi.json: status, type, header fields and body."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "openapi.json").read_text())
_DECLARABLE = {
    "accept", "accept-encoding",
    "idempotent-replayed", "link", "location", "ratelimit", "ratelimit-policy", "retry-after", "www-authenticate",
}  # fmt: skip
_PATHS = sorted(DOCUMENT["paths"], key=lambda path: path.count("{"))  # /batch before /{notification_id}


class DocumentedTransport(httpx2.ASGITransport):
    """A transport to an application in this process; an undocumented response is an `AssertionError`."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request, and check the response."""
        response = await super().handle_async_request(request)
        described = _operation(request.method, request.url.path)
        if described is not None:
            check_answer(*described, response.status_code, response.headers, await response.aread())
        return response


def check_answer(path: str, method: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Raise `AssertionError` for a response that the document does not declare."""
    where = f"{method.upper()} {path} answered {status}"
    declared = DOCUMENT["paths"][path][method]["responses"]
    assert str(status) in declared, f"{where}, which openapi.json does not declare: {body[:300]!r}"
    answer = resolve_reference(declared[str(status)])
    fields = {name.lower(): resolve_reference(field) for name, field in answer.get("headers", {}).items()}
    for name in _DECLARABLE & {name.lower() for name in headers}:
        assert name in fields, f"{where} with {name}, which openapi.json does not declare"
        jsonschema_rs.validate(fields[name]["schema"], headers[name])
    missing = {name for name, field in fields.items() if field.get("required") and name not in headers}
    assert not missing, f"{where} without {missing}"
    types = answer.get("content", {})
    media_type = headers.get("content-type", "").partition(";")[0]
    assert media_type in types if types else not body, f"{where} with {media_type}, declared: {sorted(types)}"
    if types and media_type.endswith("json"):
        errors = _validator(path, method, str(status), media_type).iter_errors(json.loads(body))
        faults = [f"{fault.instance_path}: {fault.message}" for fault in errors]
        assert not faults, f"{where} with {body[:300]!r}: {faults[:3]}"


def resolve_reference(described: dict[str, Any]) -> dict[str, Any]:
    """Get the object of a `$ref`."""
    place: Any = described
    while "$ref" in place:
        parts = place["$ref"].removeprefix("#/").split("/")
        place = DOCUMENT
        for part in parts:
            place = place[part]
    target: dict[str, Any] = place
    return target


@cache
def _validator(path: str, method: str, status: str, media_type: str) -> jsonschema_rs.Validator:
    answer = resolve_reference(DOCUMENT["paths"][path][method]["responses"][status])
    return build_validator(answer["content"][media_type]["schema"])


def build_validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """Build a validator for a schema with references into the document."""
    return jsonschema_rs.Draft202012Validator(schema | {"components": DOCUMENT["components"]}, validate_formats=True)


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    return {path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in _PATHS}


def _operation(method: str, path: str) -> tuple[str, str] | None:
    """The documented path and method of a request, or None."""
    for described, pattern in _patterns().items():
        if pattern.fullmatch(path):
            return (described, method.lower()) if method.lower() in DOCUMENT["paths"][described] else None
    return None
