"""A feed from its server to a revision: differences, validators, confirmation, and what happens under way."""

import asyncio
import gzip
import json
from typing import Any
from uuid import UUID

import pytest
from integration.feeds.conftest import FeedShop
from support.webhook_receiver import build_reply, silence

from notifier.auth import service_admin
from notifier.db.tables import INSTANCE
from notifier.errors import NotFoundError
from notifier.feeds import revision_store
from notifier.feeds.revision_store import NoFeedDocumentError
from notifier.runtime import wiring

PRICES: dict[str, Any] = {"currency": "EUR", "prices": {"lamp": 20, "desk": 100}}
ROWS = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bob"}]
CSV = b'id,name\r\n1,Ada\r\n2,"Bob, Ben"\r\n'


async def test_a_document_becomes_a_revision_and_its_differences_are_counted(running_shop: FeedShop) -> None:
    """A first fetch makes revision 1, a changed document revision 2, and an equal one no revision at all."""
    shop = running_shop
    assert (await shop.save())["status"] == "new"
    shop.serve_document(json.dumps(PRICES).encode(), ETag='"one"')
    job = await shop.fetch()
    assert (job["state"], job["counts"]) == ("succeeded", {"entries": 2, "added": 2, "removed": 0, "changed": 0})
    feed = await shop.get()
    assert (feed["status"], feed["latest_number"], feed["error"], job["subject_id"]) == ("good", 1, None, feed["id"])
    assert feed["age_seconds"] >= 0
    assert await shop.get_document(1) == PRICES
    shop.serve_document(json.dumps({"vat": 19, "currency": "USD"}).encode(), ETag='"two"')
    assert (await shop.fetch())["counts"] == {"entries": 2, "added": 1, "removed": 1, "changed": 1}
    shop.serve_document(b'{"currency": "USD", "vat": 19.0}')  # the same in other words
    assert (await shop.fetch())["counts"] == {"unchanged": 1}
    assert [revision["number"] for revision in await shop.list_revisions()] == [2, 1]
    assert await shop.get_document(1) == PRICES  # it never changes
    async with shop.parts.database.read() as connection:
        owner = (await shop_owner(shop), "prices")
        assert await revision_store.get_feed_values(connection, *owner) == {"vat": 19, "currency": "USD"}
        with pytest.raises(NoFeedDocumentError, match="one object"):
            await revision_store.list_feed_rows(connection, *owner)
        with pytest.raises(NotFoundError):  # nobody else reads it, not even the instance
            await revision_store.get_feed_values(connection, INSTANCE, "prices")


async def shop_owner(shop: FeedShop) -> UUID:
    """The id of the shop."""
    async with shop.parts.database.read() as connection:
        return await service_admin.find_service(connection, "shop")


async def test_validators_spare_the_server_a_document(running_shop: FeedShop) -> None:
    """ETag and Last-Modified of the newest revision are sent; 304 confirms it; new settings forget them."""
    shop = running_shop
    await shop.save(headers={"X-Api-Key": "canary-secret"})
    dated = {"ETag": 'W/"v1"', "Last_Modified": "Sun, 29 Nov 2026 09:00:00 GMT"}
    shop.serve_document(b'{"a": 1}', **dated)
    await shop.fetch()
    first = shop.server.heard[-1].headers
    assert (first["x-api-key"], first["accept-encoding"]) == ("canary-secret", "gzip")
    assert "if-none-match" not in first
    shop.serve(build_reply("304 Not Modified"))
    job = await shop.fetch()
    assert (job["state"], job["counts"]) == ("succeeded", {"unchanged": 1})
    second = shop.server.heard[-1].headers
    assert second["if-none-match"] == 'W/"v1"'
    assert second["if-modified-since"] == "Sun, 29 Nov 2026 09:00:00 GMT"
    await shop.save(json_schema={"required": ["b"]})  # what was valid may not be any more
    shop.serve_document(b'{"a": 1}', **dated)
    assert (await shop.fetch())["state"] == "failed"
    third = shop.server.heard[-1].headers
    assert "if-none-match" not in third
    assert third["x-api-key"] == "canary-secret"  # the headers stay without being sent again


async def test_rows_of_csv_and_compressed_documents(running_shop: FeedShop) -> None:
    """CSV becomes rows of texts, whatever its delimiter and charset; a compressed document is read."""
    shop = running_shop
    await shop.save(format="csv", row_key="id")
    shop.serve(build_reply("200 OK", gzip.compress(CSV), Content_Encoding="gzip"))
    assert (await shop.fetch())["counts"]["added"] == 2
    assert await shop.get_document(1) == [{"id": "1", "name": "Ada"}, {"id": "2", "name": "Bob, Ben"}]
    shop.serve_document("id;name\n2;Bjørn\n3;Eve\n\n".encode("latin-1"), Content_Type="text/csv; charset=ISO-8859-1")
    assert (await shop.fetch())["counts"] == {"entries": 2, "added": 1, "removed": 1, "changed": 1}
    async with shop.parts.database.read() as connection:
        rows = await revision_store.list_feed_rows(connection, await shop_owner(shop), "prices")
        values = await revision_store.get_feed_values(connection, await shop_owner(shop), "prices")
    assert (rows.number, rows.columns) == (2, ["id", "name"])
    assert rows.rows == values["rows"] == [{"id": "2", "name": "Bjørn"}, {"id": "3", "name": "Eve"}]


async def test_ten_revisions_are_kept(running_shop: FeedShop) -> None:
    """The eleventh revision deletes the first; numbers go on."""
    shop = running_shop
    await shop.save()
    for number in range(1, 13):
        shop.serve_document(json.dumps({"number": number}).encode())
        assert (await shop.fetch())["state"] == "succeeded"
    assert [revision["number"] for revision in await shop.list_revisions()] == [*range(12, 2, -1)]
    assert (await shop.client.get("/v1/feeds/prices/revisions/2")).status_code == 404
    assert await shop.get_document(3) == {"number": 3}


@pytest.mark.parametrize(
    ("full", "empty", "settings"),
    [
        (json.dumps(ROWS).encode(), b"[]", {}),
        (json.dumps(PRICES).encode(), b"{}", {}),
        (json.dumps(PRICES).encode(), b'{"currency": "EUR", "prices": {}}', {}),
        (CSV, b"id,name\r\n", {"format": "csv"}),
    ],
    ids=["rows", "object", "part", "csv"],
)
async def test_a_suddenly_empty_document_asks_first(
    running_shop: FeedShop, full: bytes, empty: bytes, settings: dict[str, Any]
) -> None:
    """A document that loses everything is kept aside: the old one stays until a person confirms the new one."""
    shop = running_shop
    await shop.save(**settings)
    shop.serve_document(full, ETag='"full"')
    await shop.fetch()
    assert (await shop.client.post("/v1/feeds/prices/confirm")).json()["code"] == "nothing_to_confirm"
    shop.serve_document(empty, ETag='"empty"')
    job = await shop.fetch()
    assert job["state"] == "failed"
    assert "suddenly empty" in job["error"]
    assert "/v1/feeds/prices/confirm" in job["error"]
    feed = await shop.get()
    assert (feed["status"], feed["latest_number"]) == ("unconfirmed", 1)
    assert feed["unconfirmed"]["reason"] == feed["error"] == job["error"]
    again = await shop.wait_for_job((await _retry(shop, job))["location"])
    assert again["state"] == "failed"
    assert shop.server.heard[-1].headers["if-none-match"] == '"full"'
    assert (await shop.get())["unconfirmed"]["since"] == feed["unconfirmed"]["since"]
    confirmed = (await shop.client.post("/v1/feeds/prices/confirm")).json()
    assert (confirmed["status"], confirmed["latest_number"], confirmed["unconfirmed"]) == ("good", 2, None)
    newest, _ = await shop.list_revisions()
    assert newest["confirmed_by"].startswith("key:")
    assert newest["removed"] + newest["changed"] > 0
    assert (await shop.fetch())["counts"] == {"unchanged": 1}


async def _retry(shop: FeedShop, job: dict[str, Any]) -> dict[str, str]:
    reply = await shop.client.post(f"/v1/jobs/{job['id']}/retry")
    assert reply.status_code == 200, reply.text
    return {"location": f"/v1/jobs/{job['id']}"}


async def test_an_empty_document_that_fills_again_needs_nobody(running_shop: FeedShop) -> None:
    """If the source recovers by itself, nothing waits for a confirmation any more, also after a 304."""
    shop = running_shop
    await shop.save()
    for reply in (build_reply("200 OK", b'[{"a": 1}, {"a": 2}]'), build_reply("304 Not Modified")):
        shop.serve_document(b'[{"a": 1}]', ETag='"one"')
        await shop.fetch()
        shop.serve_document(b"[]")
        await shop.fetch()
        assert (await shop.get())["status"] == "unconfirmed"
        shop.serve(reply)
        assert (await shop.fetch())["state"] == "succeeded"
        feed = await shop.get()
        assert (feed["status"], feed["unconfirmed"]) == ("good", None)
    assert (await shop.client.post("/v1/feeds/prices/confirm")).status_code == 409


async def test_a_feed_that_changes_under_way_is_loaded_again(running_shop: FeedShop) -> None:
    """A document of settings that were replaced meanwhile is not written; the run loads the feed anew."""
    shop = running_shop
    arrived, may_go_on = asyncio.Event(), asyncio.Event()

    async def hold(writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await may_go_on.wait()
        writer.write(build_reply("200 OK", b'{"old": true}'))
        await writer.drain()

    await shop.save()
    shop.server.script(hold, path="/feed")
    shop.serve_document(b'{"new": true}')
    path = (await shop.client.post("/v1/feeds/prices/fetch")).headers["location"]
    async with asyncio.timeout(100):
        await arrived.wait()
    await shop.save(max_bytes=2048)
    may_go_on.set()
    job = await shop.wait_for_job(path)
    assert job["state"] == "succeeded"
    assert await shop.get_document(1) == {"new": True}
    assert len(await shop.list_revisions()) == 1


async def test_a_stopping_sender_gives_a_slow_feed_back(shop: FeedShop) -> None:
    """A sender that stops does not wait for a server; another one fetches the feed from the beginning."""
    await shop.save(timeout_seconds=30)
    shop.server.script(silence, path="/feed")
    shop.serve_document(b'{"a": 1}')
    path = (await shop.client.post("/v1/feeds/prices/fetch")).headers["location"]
    async with wiring.run_sender(shop.parts):
        await shop.server.wait_for(1)
    assert (await shop.client.get(path)).json()["state"] == "queued"
    async with wiring.run_sender(shop.parts):
        assert (await shop.wait_for_job(path))["state"] == "succeeded"


async def test_a_cancelled_fetch_writes_nothing(running_shop: FeedShop) -> None:
    """A run that is cancelled while the server is silent ends at once, and its document is not written."""
    shop = running_shop
    arrived, may_go_on = asyncio.Event(), asyncio.Event()

    async def hold(writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await may_go_on.wait()
        writer.write(build_reply("200 OK", b'{"a": 1}'))
        await writer.drain()
        await writer.wait_closed()

    await shop.save()
    shop.serve(hold)
    path = (await shop.client.post("/v1/feeds/prices/fetch")).headers["location"]
    async with asyncio.timeout(100):
        await arrived.wait()
    assert (await shop.client.post(f"{path}/cancel")).json()["state"] == "cancelled"
    may_go_on.set()
    shop.serve_document(b'{"b": 1}')
    assert (await shop.fetch())["state"] == "succeeded"
    assert await shop.get_document(1) == {"b": 1}
    assert (await shop.client.get(path)).json()["state"] == "cancelled"


async def test_a_schedule_fetches_a_feed_that_exists(running_shop: FeedShop) -> None:
    """A schedule needs the name of a feed; if that feed is gone, its runs fail with one sentence."""
    shop, wrong = running_shop, []
    for options in ({}, {"feed": "No"}, {"feed": 3}, {"feed": "prices", "url": "x"}):
        reply = await shop.client.put(
            "/v1/schedules/hourly", json={"timing": "every 1h", "action": "fetch", "options": options}
        )
        wrong.append([error["pointer"] for error in reply.json()["errors"]])
    assert wrong == [["/options/feed"], ["/options/feed"], ["/options/feed"], ["/options/url"]]
    body = {"timing": "every 1h", "action": "fetch", "options": {"feed": "prices"}}
    assert (await shop.client.put("/v1/schedules/hourly", json=body)).status_code == 200
    job = await shop.wait_for_job((await shop.client.post("/v1/schedules/hourly/run")).headers["location"])
    assert (job["state"], job["error"]) == (
        "failed",
        "there is no feed named 'prices': save it, or change the schedule",
    )
    await shop.save()
    shop.serve_document(b'{"a": 1}')
    job = await shop.wait_for_job((await shop.client.post("/v1/schedules/hourly/run")).headers["location"])
    assert (job["state"], job["schedule"], await shop.get_document(1)) == ("succeeded", "hourly", {"a": 1})
