"""A feed from its server to a revision, and everything that can be wrong with its document."""

import asyncio
import gzip
import json
import zlib
from typing import Any
from uuid import UUID

import pytest
from integration.feeds.conftest import FeedShop
from support.webhook_receiver import Reply, build_reply, silence

from notifier.auth import service_admin
from notifier.db.tables import INSTANCE
from notifier.errors import NotFoundError
from notifier.feeds import revision_store
from notifier.feeds.revision_store import NoFeedDocumentError
from notifier.runtime import wiring

PRICES: dict[str, Any] = {"currency": "EUR", "prices": {"lamp": 20, "desk": 100}}
ROWS = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bob"}]
CSV = b'id,name\r\n1,Ada\r\n2,"Bob, Ben"\r\n'


async def _say_for_ever(writer: asyncio.StreamWriter, head: bytes, what: bytes, pause: float = 0.0) -> None:
    writer.write(head)
    while True:
        writer.write(what)
        await writer.drain()
        await asyncio.sleep(pause)


async def endless(writer: asyncio.StreamWriter) -> None:
    await _say_for_ever(writer, b"HTTP/1.1 200 OK\r\n\r\n[", b'"xxxxxxxx",' * 1000)


async def endless_chunks(writer: asyncio.StreamWriter) -> None:
    await _say_for_ever(
        writer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"100\r\n" + b"x" * 256 + b"\r\n"
    )


async def endless_pieces(writer: asyncio.StreamWriter) -> None:
    await _say_for_ever(writer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000)


async def endless_head(writer: asyncio.StreamWriter) -> None:
    await _say_for_ever(writer, b"HTTP/1.1 200 OK\r\n", b"X-Fill: " + b"x" * 1000 + b"\r\n")


async def a_byte_at_a_time(writer: asyncio.StreamWriter) -> None:
    await _say_for_ever(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"[", 0.05)


async def cut_off(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n[1")
    await writer.drain()


async def without_a_length(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + CSV)
    await writer.drain()


def compressed(body: bytes, coding: str = "gzip") -> bytes:
    """A reply with a compressed body."""
    return build_reply("200 OK", body, Content_Encoding=coding)


BAD: dict[str, tuple[Reply, dict[str, Any], str]] = {
    "500": (build_reply("500 Oops", b"{}"), {}, "the server answered 500 instead of the document"),
    "404": (build_reply("404 Not Found"), {}, "the server has no document at this URL (404)"),
    "401": (build_reply("401 No"), {}, "the server refused the credentials (401): check the header fields of the feed"),
    "204": (build_reply("204 No Content"), {}, "the server answered 204 instead of the document"),
    "304 that nobody asked for": (
        build_reply("304 Not Modified"),
        {"without_etag": True},
        "the server answered 304 instead of the document",
    ),
    "slow": (a_byte_at_a_time, {"timeout_seconds": 1}, "the whole document did not come within 1 seconds"),
    "silent": (silence, {"timeout_seconds": 1}, "the whole document did not come within 1 seconds"),
    "endless": (
        endless,
        {"timeout_seconds": 30},
        "the document has more than the 1,048,576 bytes that its feed allows",
    ),
    "endless chunks": (
        endless_chunks,
        {"timeout_seconds": 30},
        "the document has more than the 1,048,576 bytes that its feed allows",
    ),
    "endless pieces": (
        endless_pieces,
        {"timeout_seconds": 30},
        "the server sends the document in more than 50,000 pieces",
    ),
    "endless head": (endless_head, {}, "the reply is not valid HTTP, or ended in the middle"),
    "announced as too large": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n[]",
        {},
        "more than the 1,048,576 bytes",
    ),
    "cut off": (cut_off, {}, "the reply is not valid HTTP, or ended in the middle"),
    "not HTTP": (b"hello\r\n\r\n", {}, "the reply is not valid HTTP, or ended in the middle"),
    "a zip bomb": (compressed(gzip.compress(bytes(50_000_000))), {}, "more than the 1,048,576 bytes"),
    "half of a gzip": (compressed(gzip.compress(json.dumps(ROWS).encode())[:-9]), {}, "ends in the middle"),
    "no gzip": (compressed(b"[]"), {}, "the server says that the document is gzip, and it is not"),
    "more than a gzip": (compressed(gzip.compress(b"[]") + b"x"), {}, "something follows the gzip data"),
    "another encoding": (compressed(zlib.compress(b"[]"), "deflate"), {}, "compresses the document in a way"),
    "not JSON": (build_reply("200 OK", b'{"a": 1,}'), {}, "the document is not valid JSON: line 1"),
    "HTML": (build_reply("200 OK", b"<!doctype html><html>sign in"), {}, "the document is HTML instead of JSON"),
    "a number": (build_reply("200 OK", b"3"), {}, "neither a JSON object nor an array of objects"),
    "no bytes": (build_reply("200 OK"), {}, "the document is empty: not even {} or []"),
    "NUL": (build_reply("200 OK", b'{"a": "\\u0000"}'), {}, "a string contains NUL"),
    "deep": (build_reply("200 OK", b"[" * 50_000), {}, "nested too deeply"),
    "against its schema": (
        build_reply("200 OK", b'{"currency": "canary-value"}'),
        {"json_schema": {"properties": {"currency": {"maxLength": 3}}}},
        "the document does not match its schema at /currency",
    ),
    "HTML for CSV": (build_reply("200 OK", b"<html>"), {"format": "csv"}, "the document is HTML instead of CSV"),
    "half a line": (build_reply("200 OK", b"a,b\n1\n"), {"format": "csv"}, "line 2 has 1 cells, and there are 2"),
    "an open quotation": (build_reply("200 OK", b'a,b\n1,"2'), {"format": "csv"}, "ends within quotation marks"),
    "doubled headings": (build_reply("200 OK", b"a,a\n1,2"), {"format": "csv"}, "headings of columns 1 and 2"),
    "UTF-16": (build_reply("200 OK", "a,b".encode("utf-16")), {"format": "csv"}, "the document is UTF-16"),
    "no length": (without_a_length, {"format": "csv"}, "neither Content-Length nor chunks"),
    "a key twice": (build_reply("200 OK", b'[{"a":1},{"a":1}]'), {"row_key": "a"}, "rows 1 and 2 have the same value"),
    "a key left out": (build_reply("200 OK", b'[{"b":1}]'), {"row_key": "a"}, "row 1 has no value in its row_key"),
    "a redirect": (
        build_reply("302 Found", Location="http://127.0.0.1:1/"),
        {},
        "the server redirects (302), and redirects are not followed: use the final URL",
    ),
}


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
    shop.serve(compressed(gzip.compress(CSV)))
    assert (await shop.fetch())["counts"]["added"] == 2
    assert await shop.get_document(1) == [{"id": "1", "name": "Ada"}, {"id": "2", "name": "Bob, Ben"}]
    shop.serve_document("id;name\n2;Bjørn\n3;Eve\n\n".encode("latin-1"), Content_Type="text/csv; charset=ISO-8859-1")
    assert (await shop.fetch())["counts"] == {"entries": 2, "added": 1, "removed": 1, "changed": 1}
    async with shop.parts.database.read() as connection:
        rows = await revision_store.list_feed_rows(connection, await shop_owner(shop), "prices")
        values = await revision_store.get_feed_values(connection, await shop_owner(shop), "prices")
    assert (rows.number, rows.columns) == (2, ["id", "name"])
    assert rows.rows == values["rows"] == [{"id": "2", "name": "Bjørn"}, {"id": "3", "name": "Eve"}]


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_document_changes_nothing_and_is_one_sentence(running_shop: FeedShop, case: str) -> None:
    """Whatever is wrong, the run fails with one sentence, the last good revision stays, and its age is shown."""
    reply, settings, sentence = BAD[case]
    shop, fields = running_shop, dict(settings)
    is_csv, has_key = fields.get("format") == "csv", "row_key" in fields
    good = b"a,b\n7,8\n" if is_csv else b'[{"a": 7}]' if has_key else b'{"currency": "EUR"}'
    shop.serve_document(good, **({} if fields.pop("without_etag", False) else {"ETag": '"good"'}))
    await shop.save(**fields)
    await shop.fetch()
    before = await shop.get()
    document = await shop.get_document(1)
    shop.serve(reply)
    job = await shop.fetch()
    assert job["state"] == "failed"
    assert sentence in job["error"]
    assert "canary" not in json.dumps(job)
    assert len(job["error"].splitlines()) == 1
    feed = await shop.get()
    assert (feed["status"], feed["error"], feed["latest_number"]) == ("failing", job["error"], 1)
    assert feed["received_at"] == before["received_at"]
    assert feed["failing_since"] == feed["checked_at"] > before["checked_at"]
    assert await shop.get_document(1) == document
    shop.serve_document(good)
    assert (await shop.fetch())["state"] == "succeeded"
    healed = await shop.get()
    assert (healed["status"], healed["error"], healed["failing_since"]) == ("good", None, None)
    assert [revision["number"] for revision in await shop.list_revisions()] == [1]


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
