"""The most expensive bodies of each route are accepted or refused with a small reply."""

import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from support import marketing_template, worst_bodies
from support.documented_transport import DOCUMENT
from support.seeded_installation import WELCOME, Installation

from notifier.api import request_model, request_reader
from notifier.api.app import build_bare_app
from notifier.api.errors.faults import MAX_FAULTS
from notifier.api.request_model import RequestModel

MAX_REPLY = 64 * 1024
JSON = {"Content-Type": "application/json"}
ANY_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
async def worst(sqlite_installation: Installation) -> AsyncIterator[httpx2.AsyncClient]:
    """The shop with every scope, limited only by the sizes of bodies."""
    unlimited = sqlite_installation.with_settings(api={"rate_per_minute": 0, "service_rate_per_minute": 0})
    async with (
        unlimited.open_parts() as parts,
        unlimited.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as client,
    ):
        yield client


def _routes() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation["requestBody"]["content"]["application/json"]["schema"])
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ]


def _models(root: type[RequestModel] = RequestModel) -> dict[str, type[RequestModel]]:
    build_bare_app()  # or not all modules are imported
    models = {model.__name__: model for model in root.__subclasses__()}
    return {name: item for model in models.values() for name, item in _models(model).items()} | models


def _require_small(reply: httpx2.Response, what: str) -> None:
    assert reply.status_code < 500, (what, reply.text[:300])
    assert len(reply.content) <= MAX_REPLY, (what, len(reply.content))
    if reply.status_code >= 400:
        assert len(reply.json()["errors"]) <= MAX_FAULTS, what


@pytest.mark.parametrize(
    ("method", "path", "schema"), _routes(), ids=lambda item: item if isinstance(item, str) else ""
)
async def test_the_worst_body_has_a_small_reply(
    worst: httpx2.AsyncClient, method: str, path: str, schema: dict[str, Any]
) -> None:
    """Bodies at each route's byte limit that are wide, deep, long, unknown or invalid."""
    model = _models()[schema["$ref"].rpartition("/")[2]]
    url = path.replace("{slug}", "welcome").replace("{name}", "larkspur.html")
    url = "/".join(ANY_ID if part.startswith("{") else part for part in url.split("/"))
    for what, body in worst_bodies.list_worst_bodies(schema, model.limits.max_bytes, model.limits.max_values):
        _require_small(await worst.request(method, url, content=body, headers=JSON), f"{method} {path}: {what}")


def _batch(item: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"notifications": [item] * 1000, **more}).encode()


WRONG = {"to": "nobody", "cc": ["x"] * 4, "tags": [1] * 10, "attachments": [{}] * 20, "template": "x" * 90}
MANY = {f"field{number}": 1 for number in range(70)}


async def test_a_thousand_wrong_notifications_are_told_in_a_small_reply(worst: httpx2.AsyncClient) -> None:
    """The reply lists at most 100 faults, and how many others there are."""
    for item in (MANY, {"to": {}, "n" * 10_000: 1}):
        reply = await worst.post("/v1/notifications/batch", content=_batch(item), headers=JSON)
        _require_small(reply, str(item)[:50])
        assert reply.status_code == 422
        body = reply.json()
        assert body["more_errors"] > 1_000
        assert f"{body['more_errors'] + len(body['errors']):,} faults" in body["detail"]


async def test_each_refused_notification_says_why(worst: httpx2.AsyncClient) -> None:
    """With `skip_invalid` each item has a code and a fault, in less than half a MiB."""
    for item in (WRONG, {"to": "\x01" * 300, "n" * 5_000: 1}):
        reply = await worst.post("/v1/notifications/batch", content=_batch(item, on_error="skip_invalid"), headers=JSON)
        assert reply.status_code == 202
        assert len(reply.content) <= 512 * 1024
        errors = [result["error"] for result in reply.json()["results"]]
        assert len(errors) == 1000
        assert len({len(error["errors"]) + error.get("more_errors", 0) for error in errors}) == 1
        assert sum(len(error["errors"]) for error in errors) <= 1000 + MAX_FAULTS
    entry = await worst.post(
        "/v1/notifications/batch", content=_batch(WELCOME | {"to": "x"}, on_error="skip_invalid"), headers=JSON
    )
    assert {len(result["error"]["errors"]) for result in entry.json()["results"]} == {1}


async def test_as_much_as_the_documents_allow_is_taken(worst: httpx2.AsyncClient) -> None:
    """The documented maximum of variables, and a batch of a thousand, are accepted."""
    values = b"[" + b",".join([b"[]"] * (256 * 1024 // 3 - 10)) + b"]"
    body = b'{"to":"ada@example.com","template":"welcome","variables":{"name":%s,"product":"x"}}' % values
    reply = await worst.post("/v1/notifications", content=body, headers=JSON)
    assert (reply.status_code, reply.json()["code"]) == (422, "wrong_variable_type")  # and not 413
    lines = [{"name": "Rose", "amount": 3, "price": "12.50", "link": "https://shop.example/rose", "note": None}] * 15
    batch = _batch(WELCOME | {"variables": {"name": "Ada", "product": "Larkspur", "lines": lines}})
    reply = await worst.post("/v1/notifications/batch", content=batch, headers=JSON)
    assert (reply.status_code, reply.json()["code"]) == (422, "unknown_variable")


async def test_too_many_values_are_refused_before_they_are_parsed(worst: httpx2.AsyncClient) -> None:
    """Values are counted in the bytes, so invalid JSON is not parsed."""
    body = b"[" * (request_model.MAX_BODY_VALUES + 1)
    reply = await worst.post("/v1/notifications", content=body, headers=JSON)
    assert (reply.status_code, reply.json()["code"]) == (413, "request_too_large")
    assert str(request_model.MAX_BODY_VALUES) in reply.json()["detail"]
    reply = await worst.post("/v1/notifications", content=body[:-2], headers=JSON)
    assert (reply.status_code, reply.json()["code"]) == (400, "malformed_json")


async def test_marks_in_texts_are_no_values(worst: httpx2.AsyncClient) -> None:
    """Commas and escaped quotes inside a text do not count as values."""
    text = 'p{margin:0,1} \\",[{:' * 24_000
    content = {"subject": "Hello", "text": text}
    reply = await worst.post("/v1/notifications", json={"to": "ada@example.com", "content": content})
    assert reply.status_code == 413 or len(text) < request_model.MAX_NOTIFICATION_BYTES
    content["text"] = text[: 400 * 1024]
    reply = await worst.post("/v1/notifications", json={"to": "ada@example.com", "content": content})
    assert reply.status_code == 202, reply.text


async def test_a_large_body_is_parsed_in_a_thread() -> None:
    """Large bodies are parsed, validated and hashed in a thread, small ones in the event loop."""

    def thread(_text: bytes) -> str:
        return threading.current_thread().name

    limit = request_reader.MAX_INLINE_BYTES
    assert await request_reader.parse_in_thread(thread, b"x" * limit) == threading.current_thread().name
    assert (await request_reader.parse_in_thread(thread, b"x" * (limit + 1))).startswith(request_reader.THREAD_NAME)
