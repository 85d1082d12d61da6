"""Reading: one notification by its Location, and a service's notifications page by page."""

from datetime import datetime
from typing import Any
from uuid import UUID

import httpx2
from integration.api.refusal import faults
from support.seeded_installation import WELCOME, Installation

from notifier.ids import generate_id
from notifier.runtime import wiring

SHOWN = {
    "role",
    "parent_id",
    "batch_id",
    "kind",
    "tags",
    "metadata",
    "when_uncertain",
    "held",
    "service",
    "id",
    "status",
    "reason",
    "detail",
    "to",
    "template",
    "template_version",
    "locale",
    "priority",
    "message_id",
    "created_at",
    "updated_at",
    "send_at",
    "expires_at",
    "uncertain_at",
    "next_attempt_at",
}


async def _submit(client: httpx2.AsyncClient, count: int) -> list[str]:
    """Submit that many notifications; return their ids in order."""
    replies = [
        await client.post("/v1/notifications", json=WELCOME | {"to": f"reader{n}@example.com"}) for n in range(count)
    ]
    return [reply.json()["id"] for reply in replies]


async def _pages(client: httpx2.AsyncClient, limit: int) -> list[list[str]]:
    """The ids on each page, following `next` to the end."""
    pages: list[list[str]] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        page = (await client.get("/v1/notifications", params=query)).json()
        pages.append([notification["id"] for notification in page["notifications"]])
        if page["next"] is None:
            return pages
        query["before"] = page["next"]


async def test_the_location_of_an_accepted_notification_shows_it(client: httpx2.AsyncClient) -> None:
    """202 has id, status and Location; GET there shows the request's fields."""
    reply = await client.post("/v1/notifications", json=WELCOME | {"to": "Ada@Example.COM", "locale": "fr-CA"})
    accepted = reply.json()
    assert reply.status_code == 202
    assert reply.headers["location"] == f"/v1/notifications/{accepted['id']}"
    assert reply.headers["content-type"] == "application/json"
    assert "idempotent-replayed" not in reply.headers
    assert (set(accepted), accepted["status"], UUID(accepted["id"]).version) == (
        {"id", "status", "created_at"},
        "queued",
        7,
    )
    notification = (await client.get(reply.headers["location"])).json()
    assert set(notification) == SHOWN | {"attempts", "copies", "content_until"}
    assert accepted.items() <= notification.items()
    assert (notification["to"], notification["template"], notification["template_version"]) == (
        "Ada@example.com",
        "welcome",
        1,
    )
    assert (notification["locale"], notification["priority"], notification["attempts"]) == ("fr-CA", "normal", [])
    assert notification["message_id"] == f"<{UUID(accepted['id']).hex}@instance.example>"
    assert notification["next_attempt_at"] == notification["send_at"]


async def test_times_are_shown_in_utc(client: httpx2.AsyncClient) -> None:
    """All times end in Z, in replies to POST and GET."""
    reply = await client.post("/v1/notifications", json=WELCOME)
    notification = (await client.get(reply.headers["location"])).json()
    times = [notification[name] for name in ("created_at", "updated_at", "send_at", "expires_at", "next_attempt_at")]
    for time in (*times, reply.json()["created_at"]):
        assert time.endswith("Z")
        assert datetime.fromisoformat(time).tzinfo is not None


async def test_pages_are_newest_first_and_complete(client: httpx2.AsyncClient) -> None:
    """Following `next` gives each notification once, newest first, whether or not the last page is full."""
    newest_first = (await _submit(client, 7))[::-1]
    for limit in (1, 2, 3, 6, 7, 8):
        pages = await _pages(client, limit)
        assert [id_ for page in pages for id_ in page] == newest_first
        assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
        assert len(pages) == -(-7 // limit)


async def test_a_cursor_holds_while_more_come(client: httpx2.AsyncClient) -> None:
    """New notifications between two pages cause no repetition and no gap."""
    early = (await _submit(client, 4))[::-1]
    first = (await client.get("/v1/notifications", params={"limit": 2})).json()
    late = await _submit(client, 3)
    second = (await client.get("/v1/notifications", params={"limit": 2, "before": first["next"]})).json()
    seen = [notification["id"] for notification in first["notifications"] + second["notifications"]]
    assert seen == early
    assert second["next"] is None
    assert not set(late) & set(seen)


async def test_a_page_shows_fields_but_no_attempts(client: httpx2.AsyncClient) -> None:
    """A page shows all fields of a notification except its attempts."""
    (id_,) = await _submit(client, 1)
    (listed,) = (await client.get("/v1/notifications")).json()["notifications"]
    notification = (await client.get(f"/v1/notifications/{id_}")).json()
    assert set(listed) == SHOWN
    assert listed.items() <= notification.items()


async def test_a_cursor_of_anothers_notification_shows_only_ones_own(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """Another service's cursor gives a position in time and no access."""
    await _submit(client, 1)
    async with installation.open_client(parts, installation.keys.other) as other:
        (own,) = await _submit(other, 1)
        await _submit(client, 1)
        page = (await other.get("/v1/notifications", params={"before": str(generate_id())})).json()
    assert [notification["id"] for notification in page["notifications"]] == [own]


async def test_a_page_that_cannot_be_is_refused(client: httpx2.AsyncClient) -> None:
    """A limit outside 1 to 200 and an invalid cursor are 422 with a pointer."""
    for name, value in (("limit", "0"), ("limit", "201"), ("limit", "-1"), ("limit", "x"), ("before", "17")):
        reply = await client.get("/v1/notifications", params={name: value})
        assert faults(reply) == {(f"/query/{name}", "invalid_parameter")}, value


async def test_a_page_has_fifty_unless_asked_otherwise(client: httpx2.AsyncClient) -> None:
    """By default a page has 50 notifications and a cursor."""
    ids = await _submit(client, 51)
    page = (await client.get("/v1/notifications")).json()
    assert len(page["notifications"]) == 50
    assert page["next"] == ids[1]
