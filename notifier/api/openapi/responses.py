"""Adds to each operation of the OpenAPI document its problem responses, and to answers their header fields and links.

The tests compare every answer of the API with them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from notifier.api.errors import problem_catalogue
from notifier.throttle.token_bucket import WINDOW_SECONDS

_PROBLEM_CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_MEANINGS = {
    "400": "The request cannot be understood.",
    "401": "No valid API key.",
    "403": "The key may not do this.",
    "404": "It does not exist, or it is not yours.",
    "409": "It is not possible in the current state.",
    "410": "Its content was erased (`content_erased`).",
    "413": "The body is too large.",
    "415": "The body is not JSON in UTF-8, or its Content-Encoding is not gzip.",
    "422": "The request has faults; `errors` lists them.",
    "429": "Too many requests.",
    "500": "An error of the server.",
    "503": "Not accepted, or not confirmed; try again.",
}
_QUOTA_NAME = '"[a-z]+"'
_RATE_LIMIT_FIELDS = ("RateLimit-Policy", "RateLimit")
_PROBLEM_FIELDS = {
    "401": ("WWW-Authenticate",),
    "415": ("Accept", "Accept-Encoding"),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}
HEADER_FIELDS: dict[str, tuple[str, dict[str, Any], bool]] = {  # description, schema, whether it is always sent
    "Location": ("The path of the new object.", {"type": "string", "pattern": "^/v1/"}, True),
    "Idempotent-Replayed": (
        "`true` if an earlier request had this key, and this is its answer.",
        {"type": "string", "const": "true"},
        False,
    ),
    "Link": (
        'The next page: `<…>; rel="next"` (RFC 8288); missing on the last page.',
        {"type": "string", "pattern": '^<[^>]+>; rel="next"$'},
        False,
    ),
    "Retry-After": ("Seconds to wait before the request is repeated.", {"type": "string", "pattern": "^[0-9]+$"}, True),
    "Accept": ("The accepted type (RFC 9110 §15.5.16).", {"type": "string", "const": "application/json"}, False),
    "Accept-Encoding": ("The accepted encodings.", {"type": "string", "const": "gzip, identity"}, False),
    "WWW-Authenticate": ("How to authenticate (RFC 6750).", {"type": "string", "pattern": "^Bearer"}, True),
    "RateLimit-Policy": (
        (
            "The rate limits of the key and of its service: `q` in `w` seconds "
            "(draft-ietf-httpapi-ratelimit-headers-10). Missing where there is no limit."
        ),
        {
            "type": "string",
            "pattern": f"^{_QUOTA_NAME};q=[0-9]+;w={WINDOW_SECONDS}(, {_QUOTA_NAME};q=[0-9]+;w={WINDOW_SECONDS})*$",
        },
        False,
    ),
    "RateLimit": (
        "What is left of the limits: `r`, and the whole limit again in `t` seconds.",
        {"type": "string", "pattern": f"^{_QUOTA_NAME};r=[0-9]+;t=[0-9]+(, {_QUOTA_NAME};r=[0-9]+;t=[0-9]+)*$"},
        False,
    ),
}
_WITHOUT_SCOPE = {"whoami"}  # every key may use it
_WITH_REPLAY = {"submit_notification", "run_schedule", "fetch_feed"}
_WITHOUT_LOCATION = {"replay_failed_webhook_deliveries"}  # it creates many objects


def build_components() -> dict[str, dict[str, Any]]:
    """Build the components that operations refer to: header fields, and problem responses."""
    headers = {
        name.replace("-", ""): {"description": description, "schema": schema, "required": is_required}
        for name, (description, schema, is_required) in HEADER_FIELDS.items()
    }
    return {
        "headers": headers,
        "responses": {
            f"Problem{status}": _build_problem_response(status, ()) for status in _MEANINGS if status != "409"
        },
    }


def declare_responses(path: str, operation: dict[str, Any]) -> None:
    """Add the problem responses and the header fields to an operation."""
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]  # FastAPI's own shape
    for status, response in responses.items():
        if fields := _list_header_fields(path, operation, status):
            response["headers"] = {name: _build_header_reference(name) for name in fields}
    for status in _list_refusal_statuses(path, operation):
        codes = problem_catalogue.list_codes(int(status), operation["operationId"])
        responses[status] = (
            _build_conflict_response(codes) if status == "409" else {"$ref": f"#/components/responses/Problem{status}"}
        )


def _list_refusal_statuses(path: str, operation: dict[str, Any]) -> list[str]:
    with_id = ["404"] if "{" in path else []
    if path == "/metrics":  # it needs a token, or has a port of its own
        return ["401", "404"]
    if not path.startswith("/v1"):
        return with_id
    name = operation["operationId"]
    with_body = "requestBody" in operation
    with_query = any(parameter["in"] == "query" for parameter in operation.get("parameters", ()))
    with_key = any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ()))
    statuses = ["401", "429", "500", "503", *with_id]
    statuses += ["413", "415"] if with_body else []
    statuses += ["400"] if with_body or with_key else []
    statuses += ["422"] if with_body or with_query or with_key else []
    statuses += ["403"] if name not in _WITHOUT_SCOPE else []
    statuses += ["410"] if name == "get_notification_content" else []
    statuses += ["409"] if problem_catalogue.list_codes(409, name) else []
    return sorted(statuses)


def _list_header_fields(path: str, operation: dict[str, Any], status: str) -> list[str]:
    """List the header fields of an answer that is not a problem."""
    if not path.startswith("/v1"):
        return []
    name = operation["operationId"]
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    fields = list(_RATE_LIMIT_FIELDS)
    if (status in {"201", "202"} or name == "add_suppression") and name not in _WITHOUT_LOCATION:
        fields.append("Location")
    if name in _WITH_REPLAY and status == "202":
        fields.append("Idempotent-Replayed")
    if "before" in names:
        fields.append("Link")
    return fields


def _build_conflict_response(codes: list[str]) -> dict[str, Any]:
    fields = ("Retry-After",) if "idempotency_in_progress" in codes else ()
    description = "; ".join(f"`{code}`: {problem_catalogue.PROBLEM_ENTRIES[code].meaning}" for code in codes)
    return _build_problem_response("409", fields) | {"description": description}


def _build_problem_response(status: str, fields: tuple[str, ...]) -> dict[str, Any]:
    fields += _PROBLEM_FIELDS.get(status, ())
    if status not in {"401", "500"}:  # 401 comes before the rate limit is known, 500 after everything
        fields += _RATE_LIMIT_FIELDS
    response = {"description": _MEANINGS[status], "content": _PROBLEM_CONTENT}
    return response | ({"headers": {name: _build_header_reference(name) for name in fields}} if fields else {})


def _build_header_reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name.replace('-', '')}"}


_CREATING_PREFIXES = ("submit_notification", "add_", "create_", "rotate_key")


@dataclass(frozen=True)
class _LinkSource:
    """The place of an id in an answer, and the path below which its operations are."""

    operation: str
    status: str
    pointer: str
    place: str


_DELIVERIES_PATH = "/v1/webhooks/{webhook_id}/deliveries"
_LINK_SOURCES = (
    _LinkSource("submit_batch", "202", "/batch_id", "/v1/batches"),
    _LinkSource("submit_batch", "202", "/results/0/id", "/v1/notifications"),
    _LinkSource("list_notifications", "200", "/notifications/0/id", "/v1/notifications"),
    _LinkSource("list_suppressions", "200", "/suppressions/0/id", "/v1/suppressions"),
    _LinkSource("list_webhooks", "200", "/webhooks/0/id", "/v1/webhooks"),
    _LinkSource("list_keys", "200", "/keys/0/id", "/v1/keys"),
    _LinkSource("list_assets", "200", "/assets/0/name", "/v1/assets"),
    _LinkSource("upload_asset", "202", "/name", "/v1/assets"),
    _LinkSource("list_feeds", "200", "/feeds/0/name", "/v1/feeds"),
    _LinkSource("list_feed_revisions", "200", "/revisions/0/number", "/v1/feeds/{name}/revisions"),
    _LinkSource("list_webhook_deliveries", "200", "/deliveries/0/id", _DELIVERIES_PATH),
    _LinkSource("test_webhook", "202", "/id", _DELIVERIES_PATH),
    _LinkSource("replay_webhook_delivery", "202", "/id", _DELIVERIES_PATH),
    _LinkSource("list_templates", "200", "/templates/0/slug", "/v1/templates"),
    _LinkSource("list_template_versions", "200", "/versions/0/number", "/v1/templates/{slug}/versions"),
    _LinkSource("publish_template", "201", "/number", "/v1/templates/{slug}/versions"),
    _LinkSource("list_layouts", "200", "/layouts/0/name", "/v1/layouts"),
    _LinkSource("rotate_key", "201", "/id", "/v1/keys"),
)


def add_links(paths: dict[str, Any]) -> None:
    """Add to each answer its links."""
    for path, operation in iterate_operations(paths):
        name = operation["operationId"]
        created = [
            _LinkSource(name, status, "/id", path)
            for status in ("201", "202")
            if name.startswith(_CREATING_PREFIXES) and "{" not in path and status in operation["responses"]
        ]
        for source in [*created, *(source for source in _LINK_SOURCES if source.operation == name)]:
            links = operation["responses"][source.status].setdefault("links", {})
            links |= dict(_build_links(paths, source))


def _build_links(paths: dict[str, Any], source: _LinkSource) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operation in iterate_operations(paths):
        parameter, _, rest = path.removeprefix(source.place + "/{").partition("}")
        if not path.startswith(source.place + "/{") or "{" in rest:
            continue
        name = operation["operationId"]
        in_path = [part.partition("}")[0] for part in source.place.split("{")[1:]]
        parameters = {name: f"$request.path.{name}" for name in in_path}
        parameters[parameter] = f"$response.body#{source.pointer}"
        yield name, {"operationId": name, "parameters": parameters}


def iterate_operations(paths: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Iterate over all operations with their paths."""
    for path, methods in paths.items():
        for operation in methods.values():
            yield path, operation
