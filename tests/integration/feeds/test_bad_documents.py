"""Everything that can be wrong with a feed's document: one sentence, and the last good revision stays."""

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest
from integration.feeds.conftest import FeedShop
from support.webhook_receiver import Reply, build_reply, silence

ROWS = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bob"}]
CSV = b"id,name\r\n1,Ada\r\n"


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
