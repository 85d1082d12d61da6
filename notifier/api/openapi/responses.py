"""What each operation can answer: the statuses of its refusals and the header fields of all its answers, and no other.

The tests compare every answer that they get with it.
"""

from typing import Any

from notifier.api.errors import problem_catalogue
from notifier.throttle.rate_limit import WINDOW_SECONDS

_PROBLEM_CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_MEANINGS = {
    "400": "The request cannot be understood.",
    "401": "No valid API key.",
    "403": "The key may not do this.",
    "404": "There is no such thing, or it is not yours.",
    "409": "It cannot be done as things stand.",
    "413": "The body is too large.",
    "415": "The body is no JSON in UTF-8, or its Content-Encoding is not gzip.",
    "422": "The request has faults; `errors` lists all.",
    "429": "Too many requests.",
    "500": "Something went wrong on our side.",
    "503": "Not accepted, or not confirmed; try again.",
}
_QUOTA_NAME = '"[a-z]+"'
_RATE_LIMIT_FIELDS = ("RateLimit-Policy", "RateLimit")
HEADER_FIELDS: dict[str, tuple[str, dict[str, Any], bool]] = {  # what it says, its form, whether it is always there
    "Location": ("Where the new thing is.", {"type": "string", "pattern": "^/v1/"}, True),
    "Idempotent-Replayed": (
        "`true` if an earlier request had this key, and its answer is given.",
        {"type": "string", "const": "true"},
        False,
    ),
    "Link": (
        'The next page: `<…>; rel="next"` (RFC 8288); absent on the last one.',
        {"type": "string", "pattern": '^<[^>]+>; rel="next"$'},
        False,
    ),
    "Retry-After": (
        "Seconds to wait before the request is repeated.",
        {"type": "string", "pattern": "^[0-9]+$"},
        True,
    ),
    "Accept": ("The type that is taken (RFC 9110 §15.5.16).", {"type": "string", "const": "application/json"}, False),
    "Accept-Encoding": ("The encodings that are taken.", {"type": "string", "const": "gzip, identity"}, False),
    "WWW-Authenticate": ("How to authenticate (RFC 6750).", {"type": "string", "pattern": "^Bearer"}, True),
    "RateLimit-Policy": (
        (
            "How much may be asked for: `q` in `w` seconds, by the key and by its service "
            "(draft-ietf-httpapi-ratelimit-headers-10). Absent where nothing is limited."
        ),
        {
            "type": "string",
            "pattern": f"^{_QUOTA_NAME};q=[0-9]+;w={WINDOW_SECONDS}(, {_QUOTA_NAME};q=[0-9]+;w={WINDOW_SECONDS})*$",
        },
        False,
    ),
    "RateLimit": (
        "What is left of it: `r`, and all of it again in `t` seconds.",
        {"type": "string", "pattern": f"^{_QUOTA_NAME};r=[0-9]+;t=[0-9]+(, {_QUOTA_NAME};r=[0-9]+;t=[0-9]+)*$"},
        False,
    ),
}
_WITHOUT_SCOPE = {"whoami"}
"""Any key may ask."""
_WITHOUT_LOCATION = {"replay_failed_webhook_deliveries"}
"""It makes many things."""


def build_components() -> dict[str, dict[str, Any]]:
    """What operations refer to: each header field, and each refusal that is the same wherever it happens."""
    headers = {
        _get_component_name(name): {"description": why, "schema": form, "required": always}
        for name, (why, form, always) in HEADER_FIELDS.items()
    }
    return {
        "headers": headers,
        "responses": {
            f"Problem{status}": _build_problem_response(status, ()) for status in _MEANINGS if status != "409"
        },
    }


def declare_responses(path: str, operation: dict[str, Any]) -> None:
    """Write the refusals of an operation and the header fields of its answers into its description."""
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]  # FastAPI's own shape
    for status, response in responses.items():
        if found := _list_header_fields(path, operation, status):
            response["headers"] = {name: _build_header_reference(name) for name in found}
    for status in _list_refusal_statuses(path, operation):
        codes = problem_catalogue.list_codes(int(status), operation["operationId"])
        responses[status] = (
            _build_conflict_response(codes) if status == "409" else {"$ref": f"#/components/responses/Problem{status}"}
        )


def _list_refusal_statuses(path: str, operation: dict[str, Any]) -> list[str]:
    """The statuses with which it can refuse."""
    with_id = ["404"] if "{" in path else []
    if path == "/metrics":  # with a token, or on a port of their own
        return ["401", "404"]
    if not path.startswith("/v1"):
        return with_id
    name = operation["operationId"]
    with_body = "requestBody" in operation
    with_query = any(one["in"] == "query" for one in operation.get("parameters", ()))
    found = ["401", "429", "500", "503", *with_id]
    found += ["400", "413", "415"] if with_body else []
    found += ["422"] if with_body or with_query else []
    found += ["403"] if name not in _WITHOUT_SCOPE else []
    found += ["409"] if problem_catalogue.list_codes(409, name) else []
    return sorted(found)


def _list_header_fields(path: str, operation: dict[str, Any], status: str) -> list[str]:
    """What an answer that is no refusal says in its head."""
    if not path.startswith("/v1"):
        return []
    name = operation["operationId"]
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    found = list(_RATE_LIMIT_FIELDS)
    if (status in {"201", "202"} or name == "add_suppression") and name not in _WITHOUT_LOCATION:
        found.append("Location")
    if name == "submit_notification" and status == "202":
        found.append("Idempotent-Replayed")
    if "before" in names:
        found.append("Link")
    return found


def _build_conflict_response(codes: list[str]) -> dict[str, Any]:
    """A conflict names the codes of its operation."""
    waits = ("Retry-After",) if "idempotency_in_progress" in codes else ()
    told = "; ".join(f"`{code}`: {problem_catalogue.PROBLEM_ENTRIES[code].meaning}" for code in codes)
    return _build_problem_response("409", waits) | {"description": told}


def _build_problem_response(status: str, fields: tuple[str, ...]) -> dict[str, Any]:
    named = fields
    if status not in {"401", "500"}:  # before anybody is counted, and after everything
        named += _RATE_LIMIT_FIELDS
    if status in {"429", "503"}:
        named += ("Retry-After",)
    if status == "415":
        named += ("Accept", "Accept-Encoding")
    if status == "401":
        named += ("WWW-Authenticate",)
    described = {"description": _MEANINGS[status], "content": _PROBLEM_CONTENT}
    return described | ({"headers": {name: _build_header_reference(name) for name in named}} if named else {})


def _build_header_reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{_get_component_name(name)}"}


def _get_component_name(name: str) -> str:
    return name.replace("-", "")
