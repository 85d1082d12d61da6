"""Request bodies: compressed, with a byte order mark, and with different content types."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator

import httpx2
import pytest
from integration.api.refusal import NOTHING, Written, outcome, problem
from support.seeded_installation import WELCOME

JSON = {"Content-Type": "application/json"}
GZIP = JSON | {"Content-Encoding": "gzip"}
GOOD = json.dumps(WELCOME).encode()
PACKED = gzip.compress(GOOD)
MIB = 1024 * 1024
PATH = "/v1/notifications"
EMPTY_MEMBER = gzip.compress(b"")

PACKED_WELL = {
    "gzip": ("gzip", PACKED),
    "in capitals": ("GZIP", PACKED),
    "x-gzip": ("x-gzip", PACKED),
    "gzip and identity": ("identity, gzip", PACKED),
    "two members": ("gzip", gzip.compress(GOOD[:20]) + gzip.compress(GOOD[20:])),
    "an empty member behind": ("gzip", PACKED + EMPTY_MEMBER),
    "not compressed within": ("gzip", gzip.compress(GOOD, compresslevel=0)),
    "identity": ("identity", GOOD),
    "an empty name": ("", GOOD),
    "a byte order mark within": ("gzip", gzip.compress(b"\xef\xbb\xbf" + GOOD)),
}
PACKED_BADLY = {
    "truncated": PACKED[:-9],
    "without its checksum": PACKED[:-8],
    "of a wrong checksum": PACKED[:-8] + b"\x00\x00\x00\x00" + PACKED[-4:],
    "something behind": PACKED + b"{}",
    "zeros behind": PACKED + bytes(8),
    "not gzip": GOOD,
    "deflate": zlib.compress(GOOD),
    "half a header": PACKED[:5],
    "members without end": EMPTY_MEMBER * 2000,
}
UNKNOWN = ("br", "zstd", "deflate", "compress", "gzip, gzip", "br, gzip", "utf-8", "x" * 300)


async def test_a_compressed_body_is_read(client: httpx2.AsyncClient, written: Written) -> None:
    """A gzip body, in any form, is the same request as the plain body."""
    for name, (encoding, body) in PACKED_WELL.items():
        headers = JSON | {"Content-Encoding": encoding, "Idempotency-Key": "order-1"}
        reply = await client.post(PATH, content=body, headers=headers)
        assert reply.status_code == 202, (name, reply.text)
    assert await written() == (1, 1, 1)


async def test_a_body_that_is_not_what_its_encoding_says_is_400(client: httpx2.AsyncClient, written: Written) -> None:
    """A truncated, damaged or extended gzip body is refused and never partly read."""
    for name, body in PACKED_BADLY.items():
        reply = await client.post(PATH, content=body, headers=GZIP)
        assert outcome(reply) == (400, "malformed_encoding"), name
        assert "gzip" in problem(reply)["detail"], name
    assert await written() == NOTHING


async def test_another_encoding_is_415_and_says_which_are_known(client: httpx2.AsyncClient) -> None:
    """The refusal names the encoding, and Accept-Encoding lists the supported ones (RFC 9110 §15.5.16)."""
    for encoding in UNKNOWN:
        reply = await client.post(PATH, content=PACKED, headers=JSON | {"Content-Encoding": encoding})
        assert outcome(reply) == (415, "unsupported_media_type"), encoding
        assert encoding.partition(",")[0][:50] in problem(reply)["detail"]
        assert reply.headers["accept-encoding"] == "gzip, identity"


async def test_compressed_without_saying_so_is_explained(client: httpx2.AsyncClient) -> None:
    """A gzip body without Content-Encoding gets an error that names the missing header."""
    reply = await client.post(PATH, content=PACKED, headers=JSON)
    assert outcome(reply) == (400, "malformed_json")
    assert "Content-Encoding: gzip" in problem(reply)["detail"]


async def test_a_bomb_is_413_before_it_is_inflated(client: httpx2.AsyncClient, written: Written) -> None:
    """A gzip bomb is refused at the limit; 15 MiB of white space are accepted."""
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(512)) + packer.flush()
    reply = await client.post(f"{PATH}/batch", content=bomb, headers=GZIP)
    assert outcome(reply) == (413, "request_too_large")
    large = gzip.compress(GOOD + b" " * (15 * MIB - len(GOOD) + 1))
    assert outcome(await client.post(PATH, content=large, headers=GZIP)) == (413, "request_too_large")
    reply = await client.post(PATH, content=gzip.compress(GOOD + b" " * 1000), headers=GZIP)
    assert reply.status_code == 202
    assert await written() == (1, 1, 1)


async def test_members_that_hold_nothing_are_not_read_for_ever(client: httpx2.AsyncClient) -> None:
    """Only a bounded number of empty gzip members is read."""
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield EMPTY_MEMBER * 100

    reply = await client.post(PATH, content=endless(), headers=GZIP)
    assert outcome(reply) == (400, "malformed_encoding")
    assert taken < 50


async def test_a_compressed_body_where_none_is_needed(client: httpx2.AsyncClient) -> None:
    """An optional body may be compressed; an empty chunked body counts as no body."""
    path = (await client.post(PATH, json=WELCOME)).headers["location"]
    comment = gzip.compress(b'{"comment": "too late"}')
    assert (await client.post(f"{path}/cancel", content=comment, headers=GZIP)).status_code == 200

    async def nothing() -> AsyncIterator[bytes]:
        for chunk in list[bytes]():
            yield chunk

    assert (await client.post(f"{path}/cancel", content=nothing())).status_code == 200
    assert (await client.post(f"{path}/cancel", content=b"null", headers=JSON)).status_code == 200
    assert (await client.post(f"{path}/cancel", content=b"[]", headers=JSON)).status_code == 200
    assert outcome(await client.post(f"{path}/cancel", content=b"x=1")) == (415, "unsupported_media_type")


async def test_a_byte_order_mark_is_ignored(client: httpx2.AsyncClient, written: Written) -> None:
    """With or without a byte order mark the body is the same request."""
    for body in (b"\xef\xbb\xbf" + GOOD, b"\xef\xbb\xbf\r\n" + GOOD, GOOD):
        reply = await client.post(PATH, content=body, headers=JSON | {"Idempotency-Key": "marked"})
        assert reply.status_code == 202, reply.text
    assert await written() == (1, 1, 1)


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("application/json; charset=utf-8", None),
        ("APPLICATION/JSON", None),
        ('application/json;charset="UTF-8"', None),
        ("application/json; charset=us-ascii", None),
        ("application/json; profile=x", None),
        ("application/json; charset=iso-8859-1", "charset=iso-8859-1"),
        ("application/json; x=y; charset=utf-16", "charset=utf-16"),
        ("application/vnd.shop+json", "application/vnd.shop+json"),
        ("application/merge-patch+json", "application/merge-patch+json"),
        ("text/json", "text/json"),
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
        ("application/json, text/plain", "application/json, text/plain"),
        ("", "there is no Content-Type"),
    ],
)
async def test_the_type_of_a_body(client: httpx2.AsyncClient, content_type: str, code: str | None) -> None:
    """All spellings of the JSON type with UTF-8 are accepted; a refusal names the type that was sent."""
    reply = await client.post(PATH, content=GOOD, headers={"Content-Type": content_type})
    if code is None:
        assert reply.status_code == 202, reply.text
    else:
        assert outcome(reply) == (415, "unsupported_media_type")
        assert code in problem(reply)["detail"]
        assert reply.headers["accept"] == "application/json"
