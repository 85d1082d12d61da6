"""Hooks of schemathesis: change requests so that they meet the rules that JSON Schema cannot express.

Only requests that were generated as valid are changed; invalid ones stay invalid.
"""

import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, HookContext

from notifier.api.merges import upload
from support import template_editor
from support.seeded_installation import WELCOME

OWN_KEYS = frozenset(os.environ.get("FITTING_OWN_KEYS", "").split())
"""Ids of the keys of the requests. If one were revoked, every later reply would be 401, and show nothing."""
ADMIN_ONLY = frozenset({"admin", "staff:manage"})
"""Scopes of admin keys."""
_NUMBERS = st.integers(0, 10**6)
_SHEET = b"E-Mail,Name,Product\nada@example.com,Ada,Larkspur\n"
_FILE = {"content": "SGVsbG8sIEFkYSE=", "content_type": "text/plain"}


def _later(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


# The API is stricter than these formats: public domains, no quoted local parts; https and a host name; times to come.
schemathesis.openapi.format("idn-email", _NUMBERS.map(lambda number: f"ada+{number}@b\u00fccher.example"))
schemathesis.openapi.format("iri", _NUMBERS.map(lambda number: f"https://hook-{number}.invalid/notifier"))
schemathesis.openapi.format("date-time", st.integers(1, 300).map(_later))
for media_type in upload.MEDIA_TYPES:
    schemathesis.openapi.media_type(media_type, st.just(_SHEET))


@schemathesis.hook
def before_call(_context: HookContext, case: "Case[Any]", _kwargs: dict[str, Any]) -> None:
    """Make one request meet the rules."""
    operation = case.operation.definition.raw.get("operationId")
    _drop_service(operation, case)
    if case.path_parameters and case.path_parameters.get("key_id") in OWN_KEYS and case.method != "GET":
        case.path_parameters["key_id"] = str(uuid.uuid4())
    if case.path_parameters and case.path_parameters.get("slug") == WELCOME["template"] and case.method != "GET":
        case.path_parameters["slug"] = "daily_report"  # notifications need the other
    if case.meta is not None and case.meta.generation.mode.is_negative and case.body in (None, []):
        case.body = 7  # as for fields, null means no body, and an empty array an empty object
    if case.meta is None or not case.meta.generation.mode.is_negative:
        _fit_query(operation, case)
    if case.meta is None or not isinstance(case.body, dict):
        return
    if case.meta.generation.mode.is_negative:
        _keep_wrong(case.body)
        # Otherwise the reply is 202, with the error of an item in its result.
        if operation == "submit_batch" and case.body.get("on_error") == "skip_invalid":
            case.body["on_error"] = "reject_all"
        return
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = _fresh(case.headers["Idempotency-Key"])
    fit = _FITS.get(operation or "")
    if fit is not None:
        fit(case.body)


def _drop_service(operation: str | None, case: "Case[Any]") -> None:
    """Name no service for a new key, also where only a header is wrong: the client of schemathesis corrects it."""
    if operation == "create_key" and case.query:
        case.query.pop("service", None)


def _keep_wrong(body: dict[str, Any]) -> None:
    """Keep invalid what the API reads leniently: an empty array for an object, null for a missing field.

    The schema does not mention this, because generated clients would have to offer it. So invalid bodies stay invalid.
    """
    for name, inner in body.items():
        if inner in ([], {}):
            body[name] = 7
        elif isinstance(inner, dict):
            body[name] = {key: 7 if value is None or value in ([], {}) else value for key, value in inner.items()}


def _fresh(key: str) -> str:
    """Make a new key of at least the same length, because a used one belongs to another body."""
    fresh = str(uuid.uuid4())
    return (fresh + key)[: max(len(key), len(fresh))]


def _notification(body: dict[str, Any]) -> None:
    """Use existing templates, and valid variables, addresses, times and files."""
    if body.get("content") is None:
        body |= {"template": WELCOME["template"], "variables": WELCOME["variables"]}
        body["template_version"] = None
    else:
        body |= {"template": None, "template_version": None, "locale": None, "variables": {}}
        if not (body["content"].get("html") or body["content"].get("text")):
            body["content"]["text"] = "Hello"
    body["to"] = f"ada@{'example.com'}"
    for name in ("cc", "bcc"):
        if body.get(name) is not None:
            body[name] = [f"{name}-{number}@example.com" for number in range(min(len(body[name]), 25))]
    if body.get("from") is not None:
        body["from"] = None  # the instance's own; this service has no domains
    if body.get("reply_to") is not None:
        body["reply_to"] = "Help <help@shop.example>"
    if body.get("headers") is not None:
        # One of these two needs the other. Names that differ only in case are equal, and few begin with X-.
        headers = {name.lower(): (name, text) for name, text in body["headers"].items() if "-post" not in name.lower()}
        body["headers"] = {name: text if text.isascii() else "ascii" for name, text in headers.values()}
        body["headers"] = {
            "X-Order" if name[:2] in {"x-", "X-"} else name: text for name, text in body["headers"].items()
        }
    if body.get("attachments") is not None:
        body["attachments"] = [
            _FILE | {"filename": f"terms-{number}.txt"} for number in range(len(body["attachments"]))
        ]
    if "idempotency_key" in body and body["idempotency_key"] is not None:
        body["idempotency_key"] = _fresh(body["idempotency_key"])
    _times(body)


def _times(body: dict[str, Any]) -> None:
    for name, days in (("send_at", 100), ("expires_at", 200)):
        if body.get(name) is not None:
            body[name] = _later(days)


def _batch(body: dict[str, Any]) -> None:
    """Make each item complete, so that it does not depend on the defaults."""
    if body.get("defaults") is not None:
        body["defaults"] = {"tags": ["batch"]}
    for item in body["notifications"]:
        _notification(item)


def _patch(body: dict[str, Any]) -> None:
    """Leave out the variables, because the notification's template is unknown here."""
    if body.pop("variables", None) is not None and not body:
        body["priority"] = "high"
    _times(body)


def _address(body: dict[str, Any]) -> None:
    """Use an address that gets no mail here, and a future time."""
    body["address"] = f"suppressed-{uuid.uuid4()}@example.com"
    _times(body)


def _asset(body: dict[str, Any]) -> None:
    """Set both sides for `crop`; operations stand alone, and each has its own fields."""
    if body.get("operations"):
        body |= {"operations": [{"do": "grey"}] * len(body["operations"]), "mode": None, "width": None, "height": None}
    if body.get("mode") == "crop":
        body["width"] = body.get("width") or 10
        body["height"] = body.get("height") or 10


def _key(body: dict[str, Any]) -> None:
    """Use an allowed rate, a future time, and scopes that a service's key can have."""
    if body.get("scopes") is not None:
        body["scopes"] = [scope for scope in body["scopes"] if scope not in ADMIN_ONLY] or ["notifications:send"]
    if body.get("rate_per_minute") is not None:
        body["rate_per_minute"] = min(max(1, body["rate_per_minute"]), 2**31 - 1)
    _times(body)


def _team(body: dict[str, Any]) -> None:
    """Use valid addresses and domains, which have no format in the schema."""
    several = body["recipients"] if isinstance(body["recipients"], list) else [body["recipients"]]
    body["recipients"] = [f"ada-{number}@example.com" for number in range(len(several))]


def _source(body: dict[str, Any]) -> None:
    """Use text that can be rendered, and settings that are consistent."""
    body |= {"files": template_editor.FILES, "sample": template_editor.SAMPLE}
    body["settings"] = template_editor.SETTINGS | {"description": body["settings"].get("description") or ""}


def _unsaved(body: dict[str, Any]) -> None:
    """Send either parts or files, with the variables that they need."""
    body["variables"] = template_editor.SAMPLE
    body["settings"] = None
    if body.get("files") is not None:
        body |= {"files": template_editor.FILES, "subject": None, "html": None, "text": None}
    else:
        body |= {"subject": "Hello {{ name }}", "html": "<p>Hello</p>"}


def _fit_query(operation: str | None, case: "Case[Any]") -> None:
    """Fit what does not stand in a JSON body."""
    if case.query and operation != "list_audit":
        case.query.pop("service", None)  # only an admin key may name one
    if operation == "create_merge":
        case.query = {"template": WELCOME["template"]}
    if operation == "get_statistics" and case.query:
        case.query = {name: case.query[name] for name in ("by", "template") if name in case.query}
    if operation in {"run_schedule", "fetch_feed"} and case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = _fresh(case.headers["Idempotency-Key"])


def _schedule(body: dict[str, Any]) -> None:
    """Use a timing and options that are valid, and whichever revision there is."""
    body |= {"timing": "0 9 * * 1-5", "zone": "Europe/Berlin", "action": "notify", "revision": None}
    body["options"] = {name: WELCOME[name] for name in ("to", "template", "variables")}


def _schedules(body: dict[str, Any]) -> None:
    for schedule in body["schedules"].values():
        _schedule(schedule)


def _feed(body: dict[str, Any]) -> None:
    """Use header fields and a schema that are valid, and whichever revision there is."""
    body |= {"headers": {"Authorization": "Bearer TOKEN"}, "json_schema": None, "row_key": None, "revision": None}


def _look(body: dict[str, Any]) -> None:
    """Leave out the variables, because they depend on a template."""
    body["variables"] = None
    if "to" in body:
        body["to"] = "ada@example.com"


_FITS = {
    "save_template_draft": _source,
    "render_source": _unsaved,
    "preview_template": _look,
    "test_template": _look,
    "save_schedule": _schedule,
    "save_schedules": _schedules,
    "save_feed": _feed,
    "set_team_recipients": _team,
    "add_suppression": _address,
    "upload_asset": _asset,
    "create_key": _key,
    "submit_notification": _notification,
    "submit_batch": _batch,
    "update_notification": _patch,
}
