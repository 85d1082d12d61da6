"""Null, and an empty array for an empty object, as typed clients and PHP send them for unset fields."""

from typing import Any

import httpx2
import pytest
from integration.api.refusal import NOTHING, Written, faults, outcome, problem
from support.seeded_installation import WELCOME

PATH = "/v1/notifications"
NOTHING_GIVEN = dict.fromkeys(
    ("cc", "bcc", "attachments", "headers", "tags", "metadata", "from", "reply_to", "locale", "send_at")
)
EMPTY_LISTS: dict[str, Any] = {"headers": [], "metadata": []}
TEXT = {"subject": "Hi", "text": "Hello"}
OWN: dict[str, Any] = {"to": "ada@example.com", "content": TEXT}
FILE = {"filename": "a.txt", "content": "YQ==", "content_type": "text/plain"}
UNSET: list[dict[str, Any]] = [
    WELCOME | NOTHING_GIVEN,
    WELCOME | EMPTY_LISTS,
    WELCOME | dict.fromkeys(("priority", "expires_at", "template_version", "content")),
    WELCOME | {"cc": {}, "bcc": {}, "tags": {}, "attachments": {}, "content": None},
    WELCOME | {"headers": {"X-Order": None}, "metadata": {"order": None}},
    OWN | {"variables": None, "template": None, "content": TEXT | {"html": None}},
    OWN | {"variables": [], "locale": None},
    OWN | {"attachments": [FILE | {"content_id": None}]},
]


@pytest.mark.parametrize("body", UNSET)
async def test_null_is_as_if_left_out(client: httpx2.AsyncClient, written: Written, body: dict[str, Any]) -> None:
    """Null equals a missing field at every depth, also in what is stored."""
    reply = await client.post(PATH, json=body)
    assert reply.status_code == 202, reply.text
    assert await written() == (1, 1, 1)
    notification = (await client.get(reply.headers["location"])).json()
    assert (notification["to"], notification["tags"], notification["metadata"]) == ("ada@example.com", [], {})


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (WELCOME | {"to": None}, ("/to", "missing_field")),
        (WELCOME | {"template": None}, ("/template", "missing_field")),
        (OWN | {"content": []}, ("/content/subject", "missing_field")),
        (OWN | {"content": {"subject": None, "text": "x"}}, ("/content/subject", "missing_field")),
        (OWN | {"attachments": [FILE | {"filename": None}]}, ("/attachments/0/filename", "missing_field")),
        (WELCOME | {"tags": [None]}, ("/tags/0", "invalid_type")),
        (WELCOME | {"tempalte": None}, ("/tempalte", "unknown_field")),
        (WELCOME | {"variables": None}, ("/variables/name", "missing_variable")),
    ],
)
async def test_what_is_needed_is_not_null(
    client: httpx2.AsyncClient, written: Written, body: dict[str, Any], fault: tuple[str, str]
) -> None:
    """Null for a required field is a fault as if the field were missing, and nothing is written."""
    assert fault in faults(await client.post(PATH, json=body))
    assert await written() == NOTHING


async def test_with_nulls_and_without_is_the_same_request(client: httpx2.AsyncClient, written: Written) -> None:
    """With one Idempotency-Key both forms are the same request, and another body is not."""
    headers = {"Idempotency-Key": "order-1"}
    bodies = (WELCOME, WELCOME | NOTHING_GIVEN, WELCOME | {"content": None, "metadata": None}, WELCOME)
    replies = [await client.post(PATH, json=body, headers=headers) for body in bodies]
    assert {reply.json()["id"] for reply in replies} == {replies[0].json()["id"]}
    other = await client.post(PATH, json=WELCOME | NOTHING_GIVEN | {"tags": ["a"]}, headers=headers)
    assert outcome(other) == (422, "idempotency_key_reused")
    headers = {"Idempotency-Key": "order-2"}
    same = (WELCOME | EMPTY_LISTS, WELCOME | {"headers": {}, "metadata": {}})
    replies = [await client.post(PATH, json=body, headers=headers) for body in same]
    assert replies[0].json()["id"] == replies[1].json()["id"]
    assert await written() == (2, 2, 2)


async def test_null_in_a_batch_takes_the_default(client: httpx2.AsyncClient) -> None:
    """Null in an item takes the default; null in the defaults is none."""
    body = {
        "defaults": {"template": "welcome", "variables": {"product": "Larkspur"}, "tags": ["a"], "metadata": None},
        "notifications": [
            {"to": "ada@example.com", "variables": {"name": "Ada"}, "tags": None, "idempotency_key": None},
            {"to": "bob@example.com", "variables": {"name": "Bob"}, "tags": [], "template": None},
        ],
        "on_error": None,
    }
    reply = await client.post(f"{PATH}/batch", json=body)
    assert reply.status_code == 202, reply.text
    notifications = [(await client.get(f"{PATH}/{item['id']}")).json() for item in reply.json()["results"]]
    assert [item["tags"] for item in notifications] == [["a"], []]
    body["notifications"] = [{"to": None, "variables": {"name": "Ada"}}]
    assert faults(await client.post(f"{PATH}/batch", json=body)) == {("/notifications/0/to", "missing_field")}
    defaults = {"defaults": [], "notifications": [WELCOME]}
    assert (await client.post(f"{PATH}/batch", json=defaults)).status_code == 202


async def test_a_patch_refuses_null_and_says_why(client: httpx2.AsyncClient) -> None:
    """PATCH refuses null as ambiguous; an empty array is an empty object."""
    path = (await client.post(PATH, json=WELCOME | {"send_at": None})).headers["location"]
    for field in ("variables", "send_at", "expires_at", "priority"):
        reply = await client.patch(path, json={"priority": "bulk", field: None})
        assert faults(reply) == {(f"/{field}", "invalid_type")}
        assert "leave the field out to keep its value" in problem(reply)["detail"]
    reply = await client.patch(path, json={"variables": []})
    assert {code for _, code in faults(reply)} == {"missing_variable"}
    assert (await client.patch(path, json={"priority": "bulk"})).json()["priority"] == "bulk"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/webhooks", {"url": "https://hook.example.com/", "description": None, "events": None}, 201),
        ("POST", "/v1/webhooks", {"url": "https://hook.example.com/", "events": {}}, 201),
        ("POST", "/v1/keys", {"name": "x", "kind": None, "scopes": None, "expires_at": None}, 201),
        ("POST", "/v1/keys", {"name": "x", "rate_per_minute": None}, 201),
        (
            "POST",
            "/v1/suppressions",
            {"address": "a@example.com", "scope": "all", "reason": None, "detail": None, "expires_at": None},
            201,
        ),
        ("POST", "/v1/render", {"subject": "a", "html": "<p>b</p>", "variables": None, "settings": None}, 200),
        ("POST", "/v1/render", {"subject": "a", "html": "<p>b</p>", "variables": [], "files": None}, 200),
        ("POST", "/v1/templates/welcome/preview", {"variables": None, "locale": None, "to": None}, 200),
        (
            "PUT",
            "/v1/templates/fresh/draft",
            {
                "files": {"subject.txt": "a", "body.html": "<p>b</p>", "body.txt": None},
                "sample": [],
                "settings": {"name": "Fresh", "optional": None, "from": None, "priority": None, "public": {}},
                "revision": "",
            },
            200,
        ),
        ("PUT", "/v1/layouts/fresh.html", {"text": "{% block content %}{% endblock %}", "revision": 0}, 200),
    ],
)
async def test_the_rule_is_the_same_for_every_request(
    served: httpx2.AsyncClient, method: str, path: str, body: dict[str, Any], status: int
) -> None:
    """Null equals a missing field in webhooks, keys, suppressions, templates and layouts, too."""
    reply = await served.request(method, path, json=body)
    assert reply.status_code == status, reply.text
