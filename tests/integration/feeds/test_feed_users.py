"""What uses a feed: a merge of its rows instead of a file, and the action `notify` with its values as variables."""

import json
from typing import Any

from integration.feeds.conftest import FeedShop
from support import merge_story
from support.merge_story import wait_for_state
from support.scripted_relay import ScriptedRelay

PEOPLE = [
    {"email": "ada@example.com", "name": "Ada", "product": "Larkspur"},
    {"email": "nobody", "name": "Bob", "product": "Larkspur"},
    {"email": "grace@example.com", "name": "Grace", "product": None},
    {"email": "joan@example.com", "name": "Joan, Ph.D.", "product": "Larkspur"},
]
NOTIFY: dict[str, Any] = {"to": "ada@example.com", "template": "welcome"}


async def _fetch(shop: FeedShop, name: str, document: Any) -> None:
    await shop.save(name)
    shop.serve_document(json.dumps(document).encode())
    assert (await shop.fetch(name))["state"] == "succeeded"


async def test_the_rows_of_a_feed_are_merged(running_shop: FeedShop, relay: ScriptedRelay) -> None:
    """Each valid row of the newest revision is one mail; a row with a fault is named as in a file."""
    shop = running_shop
    await _fetch(shop, "people", PEOPLE)
    reply = await shop.client.post("/v1/merges?template=welcome&feed=people")
    assert reply.status_code == 202, reply.text
    path = reply.headers["location"]
    checked = await wait_for_state(shop.client, path, "checked", "failed")
    assert (checked["format"], checked["rows"], checked["valid"], checked["faulty"]) == ("csv", 4, 2, 2)
    rows = (await shop.client.get(f"{path}/faults")).json()["rows"]
    assert [row["row"] for row in rows] == [3, 4]
    await merge_story.start_merge(shop.client, path, on_error="skip_invalid")
    await relay.wait_for(2)
    assert {message.recipient for message in relay.received} == {"ada@example.com", "joan@example.com"}


async def test_a_feed_that_cannot_be_merged_is_a_sentence(running_shop: FeedShop) -> None:
    """No such feed, none fetched, one object, or a file beside it: 422, and there is no merge."""
    shop = running_shop
    await shop.save("empty")
    await _fetch(shop, "object", {"name": "Ada"})
    for query, content, words in (
        ("feed=nothing", b"", "nothing"),
        ("feed=empty", b"", "no valid document yet"),
        ("feed=object", b"", "rows need an array"),
        ("feed=object", b"to\na@example.com\n", "not both"),
    ):
        reply = await shop.client.post(f"/v1/merges?template=welcome&{query}", content=content)
        assert reply.status_code == 422, reply.text
        assert words in reply.json()["detail"]
    assert (await shop.client.get("/v1/merges")).json()["merges"] == []


async def test_the_values_of_a_feed_are_variables(running_shop: FeedShop, relay: ScriptedRelay) -> None:
    """The newest values are variables of the mail, below those that the options name."""
    shop = running_shop
    await _fetch(shop, "news", {"name": "Ada", "product": "Foxglove"})
    options = NOTIFY | {"feed": "news", "variables": {"product": "Larkspur"}}
    body = {"timing": "0 9 * * *", "action": "notify", "options": options}
    assert (await shop.client.put("/v1/schedules/news", json=body)).status_code == 200
    reply = await shop.client.post("/v1/schedules/news/run")
    assert (await shop.wait_for_job(reply.headers["location"]))["state"] == "succeeded"
    await relay.wait_for(1)
    mail = relay.received[0].data
    assert (b"Larkspur" in mail, b"Foxglove" in mail) == (True, False)


async def test_a_feed_of_notify_is_checked(running_shop: FeedShop) -> None:
    """An unknown feed is refused when the schedule is saved; one without a document fails the run with a sentence."""
    shop = running_shop
    body = {"timing": "0 9 * * *", "action": "notify", "options": NOTIFY | {"feed": "news"}}
    refused = await shop.client.put("/v1/schedules/news", json=body)
    assert [(fault["pointer"], fault["code"]) for fault in refused.json()["errors"]] == [
        ("/options/feed", "unknown_feed")
    ]
    await shop.save("news")
    assert (await shop.client.put("/v1/schedules/news", json=body)).status_code == 200
    reply = await shop.client.post("/v1/schedules/news/run")
    job = await shop.wait_for_job(reply.headers["location"])
    assert job["state"] == "failed"
    assert "no valid document yet" in job["error"]
