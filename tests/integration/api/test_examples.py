"""The examples in openapi.json have the same fields as real replies, at every depth."""

from typing import Any

import httpx2
import pytest
from support import api_caller
from support.documented_transport import DOCUMENT, check_answer, resolve_reference
from support.seeded_installation import WELCOME, Installation

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.runtime import wiring

OPEN = {"metadata", "statuses", "before", "after"}
"""Objects whose fields are the caller's own, or depend on what was done."""
SOMETIMES = {"team_recipients"}
"""Of a team key only."""


def _example(path: str, method: str, status: str) -> Any:
    """The example of a response in the document."""
    answer = resolve_reference(DOCUMENT["paths"][path][method]["responses"][status])
    return resolve_reference(answer["content"]["application/json"]["schema"])["examples"][0]


def _alike(example: Any, real: Any, where: str) -> None:
    """Raise `AssertionError` where fields or types differ."""
    if isinstance(example, dict) and isinstance(real, dict):
        assert set(example) - SOMETIMES == set(real), where
        for name in set(example) & set(real) - OPEN:
            _alike(example[name], real[name], f"{where}/{name}")
    elif isinstance(example, list) and isinstance(real, list):
        for item, other in zip(example[:1], real[:1], strict=False):
            _alike(item, other, f"{where}/0")
    elif real is not None and example is not None:
        assert type(example) is type(real), where


async def _all_scopes(parts: wiring.ProcessParts) -> str:
    async with parts.database.write() as connection:
        shop = await service_admin.find_service(connection, "shop")
        return await key_admin.create_live_key(connection, shop, scopes=tuple(KeyScope), now=parts.clock.now())


async def test_examples_look_as_answers_do(installation: Installation, parts: wiring.ProcessParts) -> None:
    """The examples match real replies, from dry run to outcome, and for a service's other objects."""
    item = "/v1/notifications/{notification_id}"
    async with installation.open_client(parts, await _all_scopes(parts)) as client:

        async def seen(method: str, path: str, described: str, **sent: Any) -> dict[str, Any]:
            reply = await client.request(method, path, **sent)
            _alike(_example(described, method.lower(), str(reply.status_code)), reply.json(), f"{method} {path}")
            body: dict[str, Any] = reply.json()
            return body

        wish = WELCOME | {"cc": ["bob@example.com"], "tags": ["orders"], "metadata": {"order": "42"}}
        await seen("POST", "/v1/notifications?dry_run=true", "/v1/notifications", json=wish)
        made = await seen("POST", "/v1/notifications", "/v1/notifications", json=wish)
        path = f"/v1/notifications/{made['id']}"
        async with wiring.run_sender(parts):
            await api_caller.wait_for_status(client, path, "sent")
        await seen("GET", path, item)
        for part in ("events", "explain", "content"):
            await seen("GET", f"{path}/{part}", f"{item}/{part}")
        many = "/v1/notifications/batch"
        batch = await seen("POST", many, many, json={"notifications": [WELCOME]})
        await seen("GET", f"/v1/batches/{batch['batch_id']}", "/v1/batches/{batch_id}")
        stopped = await seen("POST", f"/v1/notifications/{batch['results'][0]['id']}/cancel", f"{item}/cancel")
        assert stopped["status"] == "cancelled"
        barred = {"address": "eve@example.com", "scope": "all"}
        await seen("POST", "/v1/suppressions", "/v1/suppressions", json=barred)
        endpoint = await seen("POST", "/v1/webhooks", "/v1/webhooks", json={"url": "https://shop.example/told"})
        endpoint_path = f"/v1/webhooks/{endpoint['id']}"
        await seen("POST", f"{endpoint_path}/test", "/v1/webhooks/{webhook_id}/test")
        key = await seen("POST", "/v1/keys", "/v1/keys", json={"name": "another"})
        await seen("POST", f"/v1/keys/{key['id']}/rotate", "/v1/keys/{key_id}/rotate")
        listed = ("notifications", "suppressions", "webhooks", "keys", "audit")
        for name in (*listed, "whoami"):
            await seen("GET", f"/v1/{name}", f"/v1/{name}")
        await seen("GET", f"{endpoint_path}/deliveries", "/v1/webhooks/{webhook_id}/deliveries")


async def test_a_problem_looks_as_its_example(client: httpx2.AsyncClient) -> None:
    """The example of a problem matches a real one."""
    reply = await client.post("/v1/notifications", json=WELCOME | {"to": "nobody"})
    _alike(DOCUMENT["components"]["schemas"]["Problem"]["examples"][0], reply.json(), "Problem")


LIMITED = {"ratelimit": '"key";r=9;t=1', "ratelimit-policy": '"key";q=10;w=60'}
SENT = b'{"id":"01936f0e-7d6a-7c3e-9b54-3f0a4c1d2e5b","status":"queued","created_at":"2026-01-31T12:00:00Z"}'
JSON = {"content-type": "application/json"}
PLACE = {"location": "/v1/notifications/1"}


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (204, JSON | PLACE, b""),
        (202, JSON, SENT),
        (202, JSON | PLACE | {"retry-after": "1"}, SENT),
        (202, JSON | PLACE | {"ratelimit": "10"}, SENT),
        (202, PLACE | {"content-type": "text/html"}, SENT),
        (202, JSON | PLACE, SENT.replace(b"queued", b"sending")),
        (202, JSON | PLACE, SENT.replace(b"2026-01-31T", b"2026-01-31 at ")),
        (429, {"content-type": "application/problem+json"}, b"{}"),
    ],
)
def test_what_is_not_declared_is_noticed(status: int, headers: dict[str, str], body: bytes) -> None:
    """Every API test fails on an undeclared status, header field, type or value."""
    check_answer("/v1/notifications", "post", 202, httpx2.Headers(JSON | PLACE | LIMITED), SENT)
    with pytest.raises((AssertionError, ValueError)):
        check_answer("/v1/notifications", "post", status, httpx2.Headers(headers), body)
