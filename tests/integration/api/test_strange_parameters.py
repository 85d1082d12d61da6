"""Any value in a path, query, header or time gets a short reply, never 500 or 503."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from integration.api.refusal import problem
from support import marketing_template
from support.documented_transport import DOCUMENT, resolve_reference
from support.seeded_installation import Installation

MAX_REPLY = 64 * 1024
ANY_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
STRANGE = {
    "NUL": "a%00b",
    "only NUL": "%00",
    "a lone surrogate": "a%ED%A0%80",
    "no UTF-8": "%FF%FE",
    "10 KB": "a" * 10_000,
    "10 KB of controls": "%01" * 10_000,
    "dots": "..",
    "a slash": "a%2fb",
    "a line end": "a%0d%0aX-B:%201",
    "empty": "",
}
EDGES = (
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-12:00",
    "9999-12-31T23:59:59-23:59",
    "2026-02-30T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T00:00:60Z",
    "2026-01-01T00:00:00+99:99",
    "-0001-01-01T00:00:00Z",
    "+10000-01-01T00:00:00Z",
    "2026-01-01T00:00:00." + "9" * 5_000 + "Z",
)


@pytest.fixture
async def strange(installation: Installation) -> AsyncIterator[httpx2.AsyncClient]:
    """The shop with every scope and without rate limits, on either database."""
    unlimited = installation.with_settings(api={"rate_per_minute": 0, "service_rate_per_minute": 0})
    async with (
        unlimited.open_parts() as parts,
        unlimited.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as client,
    ):
        yield client


def _operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _url(path: str, **values: str) -> str:
    """The path with these values, and with ordinary ones for its other parameters."""
    usual = {"slug": "welcome", "name": "logo", "number": "1", "code": "not_found"}
    parts = [part.strip("{}") if part.startswith("{") else None for part in path.split("/")]
    filled = [
        part if name is None else values.get(name, usual.get(name, ANY_ID))
        for part, name in zip(path.split("/"), parts, strict=True)
    ]
    return "/".join(filled)


def _body(operation: dict[str, Any]) -> Any:
    """An example of the operation's body, if it has one."""
    if "application/json" not in operation.get("requestBody", {}).get("content", {}):
        return None
    schema = resolve_reference(operation["requestBody"]["content"]["application/json"]["schema"])
    return schema.get("examples", [{}])[0]


def _cases() -> Iterator[tuple[str, str, str, dict[str, str], Any]]:
    """A request for each text parameter and each strange value: what, method, URL, header fields and body."""
    for path, method, operation in _operations():
        for parameter in operation.get("parameters", ()):
            name, place = parameter["name"], parameter["in"]
            for what, value in STRANGE.items():
                where = f"{method} {path}: {name} is {what}"
                if place == "path":
                    yield where, method, _url(path, **{name: value}), {}, _body(operation)
                elif place == "query":
                    yield where, method, f"{_url(path)}?{name}={value}", {}, _body(operation)
                elif what in {"10 KB", "dots", "a slash", "empty"}:  # a server lets nothing else in
                    yield where, method, _url(path), {name: value}, _body(operation)


def _require_answer(reply: httpx2.Response, what: str) -> None:
    assert reply.status_code < 500, (what, reply.text[:500])
    assert len(reply.content) <= MAX_REPLY, (what, len(reply.content))
    if reply.status_code >= 400:
        problem(reply)


async def test_no_text_of_a_parameter_is_too_strange(strange: httpx2.AsyncClient) -> None:
    """Every parameter in openapi.json with NUL, half a surrogate pair, 10 KB and similar values."""
    count = 0
    for what, method, url, headers, body in _cases():
        content = {} if body is None else {"json": body}
        async with strange.stream(method, url, headers=headers, **content) as reply:
            await reply.aread()
        _require_answer(reply, what)
        count += 1
    assert count > 600


def _moments(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where a schema of a body has a time."""
    schema = resolve_reference(schema)
    for choice in schema.get("anyOf", ()):
        yield from _moments(choice, path)
    if schema.get("format") == "date-time":
        yield path
    for name, inner in schema.get("properties", {}).items():
        yield from _moments(inner, (*path, name))
    if "items" in schema:
        yield from _moments(schema["items"], (*path, "[]"))


def _with(body: Any, path: tuple[str, ...], value: str) -> Any:
    """The body with this value at a path."""
    if not path:
        return value
    if path[0] == "[]":
        return [_with(body[0] if isinstance(body, list) else {}, path[1:], value)]
    return {**body, path[0]: _with(body.get(path[0], {}), path[1:], value)}


async def test_no_time_is_too_early_or_too_late(strange: httpx2.AsyncClient) -> None:
    """Every time in queries and bodies, at both ends of the calendar and with both signs of offset."""
    made = await strange.post("/v1/webhooks", json={"url": "https://shop.example/notifier"})
    webhook = made.json()["id"]
    places = set()
    for path, method, operation in _operations():
        url = _url(path, webhook_id=webhook)
        names = [
            parameter["name"]
            for parameter in operation.get("parameters", ())
            if parameter["schema"].get("format") == "date-time"
        ]
        for name in names:
            for edge in EDGES:
                _require_answer(await strange.request(method, url, params={name: edge}), f"{path}?{name}={edge[:40]}")
        places |= set(names)
        body = _body(operation)
        if body is None:
            continue
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        for place in _moments(schema):
            for edge in EDGES:
                reply = await strange.request(method, url, json=_with(body, place, edge))
                _require_answer(reply, f"{method} {path}: {json.dumps(place)} is {edge[:40]}")
        places |= {"/".join(place) for place in _moments(schema)}
    assert {place.rpartition("/")[2] for place in places} >= {
        "send_at", "expires_at", "since", "created_after", "created_before",
    }, places  # fmt: skip
