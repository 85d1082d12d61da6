"""Unreadable requests: malformed JSON, other content types, bodies that are too large."""

import json
from collections.abc import AsyncIterator

import httpx2
from integration.api.refusal import NOTHING, Written, faults, outcome, problem
from support.seeded_installation import WELCOME

JSON = {"Content-Type": "application/json"}
MIB = 1024 * 1024
MAX_REQUEST = 15 * MIB
MAX_NOTIFICATION = 512 * 1024
MAX_VARIABLES = 256 * 1024


def _welcome(name: str) -> bytes:
    """A valid request, with this JSON text as the value of `name`."""
    return (
        b'{"to": "ada@example.com", "template": "welcome", "variables": {"product": "Larkspur", "name": '
        + name.encode()
        + b"}}"
    )


GOOD = _welcome('"Ada"')
MALFORMED = {
    "not JSON": b"to=ada@example.com",
    "only white space": b" \r\n ",
    "truncated": GOOD[:-1],
    "something after the end": GOOD + b"{}",
    "single quotes": GOOD.replace(b'"', b"'"),
    "trailing comma": GOOD[:-1] + b",}",
    "comment": b"/* hello */" + GOOD,
    "two byte order marks": b"\xef\xbb\xbf" * 2 + GOOD,
    "byte order mark of UTF-16": b"\xff\xfe" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "invalid UTF-8": GOOD.replace(b"Ada", b"A\xffa"),
    "overlong UTF-8": GOOD.replace(b"Ada", b"A\xc0\xafa"),
    "surrogate as UTF-8": GOOD.replace(b"Ada", b"A\xed\xa0\x80a"),
    "lone surrogate in a value": _welcome(r'"A\ud800a"'),
    "lone surrogate in a key": GOOD[:-1] + rb', "A\udc00a": 1}',
    "duplicate key": GOOD[:-1] + b', "to": "eve@example.com"}',
    "duplicate key further in": GOOD.replace(b'"name":', b'"name": "Eve", "name":'),
    "duplicate key by escape": GOOD[:-1] + rb', "t\u006f": "eve@example.com"}',
    "NaN": _welcome("NaN"),
    "Infinity": _welcome("Infinity"),
    "-Infinity": _welcome("-Infinity"),
    "infinite by overflow": _welcome("1e400"),
    "10,000 lists deep": _welcome("[" * 10_000 + "]" * 10_000),
    "10,000 objects deep": _welcome('{"a":' * 10_000 + "1" + "}" * 10_000),
    "100,000 lists never closed": b"[" * 100_000,
    "65 deep": _welcome("[" * 65 + "]" * 65),
    "over 2^63": _welcome(str(2**63 + 1)),
    "under -2^63": _welcome(str(-(2**63) - 1)),
    "integer of 5,000 digits": _welcome("9" * 5_000),
    "control character in a string": GOOD.replace(b"Ada", b"A\na"),
    "NUL in a value": _welcome(r'"A\u0000a"'),
    "raw NUL": GOOD.replace(b"Ada", b"A\x00a"),
    "NUL in a key": GOOD[:-1] + rb', "A\u0000a": 1}',
    "NUL in a key further in": _welcome(r'{"A\u0000a": 1}'),
}
INVALID = {
    "empty": (b"", "missing_body"),
    "null": (b"null", "invalid_type"),
    "a list": (b"[" + GOOD + b"]", "invalid_type"),
    "an empty list": (b"[]", "missing_field"),
    "a string": (b'"hello"', "invalid_type"),
    "-2^63": (_welcome(str(-(2**63))), "wrong_variable_type"),
    "64-bit template version": (GOOD[:-1] + b', "template_version": 9223372036854775808}', "invalid_type"),
    "32-bit template version": (GOOD[:-1] + b', "template_version": 2147483648}', "invalid_type"),
}


async def test_malformed_json_is_400_and_writes_nothing(client: httpx2.AsyncClient, written: Written) -> None:
    """Invalid or ambiguous JSON is 400 `malformed_json`, never 500."""
    replies = {
        name: await client.post("/v1/notifications", content=body, headers=JSON) for name, body in MALFORMED.items()
    }
    assert {name: outcome(reply) for name, reply in replies.items()} == dict.fromkeys(
        MALFORMED, (400, "malformed_json")
    )
    assert await written() == NOTHING


async def test_json_of_another_shape_is_422_and_writes_nothing(client: httpx2.AsyncClient, written: Written) -> None:
    """Valid JSON that is no notification or has numbers out of range is 422, never 500."""
    replies = {
        name: await client.post("/v1/notifications", content=body, headers=JSON) for name, (body, _) in INVALID.items()
    }
    assert {name: outcome(reply) for name, reply in replies.items()} == {
        name: (422, code) for name, (_, code) in INVALID.items()
    }
    assert await written() == NOTHING


async def test_strict_json_is_accepted(client: httpx2.AsyncClient, written: Written) -> None:
    """The base request of the malformed ones is accepted; so are escapes and astral characters."""
    bodies = (GOOD, GOOD.replace(b"Ada", "Ada 😀".encode()), GOOD.replace(b"Ada", rb"\ud83d\ude00"))
    replies = [await client.post("/v1/notifications", content=body, headers=JSON) for body in bodies]
    assert [reply.status_code for reply in replies] == [202] * 3
    assert await written() == (3, 3, 3)


async def test_another_content_type_is_415(client: httpx2.AsyncClient, written: Written) -> None:
    """Only a JSON content type is accepted; its parameters and case do not matter."""
    wrong = (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "",
    )
    for content_type in wrong:
        reply = await client.post("/v1/notifications", content=GOOD, headers={"Content-Type": content_type})
        assert outcome(reply) == (415, "unsupported_media_type"), content_type
    assert outcome(await client.post("/v1/notifications", content=GOOD)) == (415, "unsupported_media_type")
    assert await written() == NOTHING
    for content_type in ("application/json; charset=utf-8", "Application/JSON"):
        reply = await client.post("/v1/notifications", content=GOOD, headers={"Content-Type": content_type})
        assert reply.status_code == 202


async def test_a_notification_over_512_kib_is_413(client: httpx2.AsyncClient, written: Written) -> None:
    """A notification without attachments may have 512 KiB; one byte more is 413."""
    large = b'{"to": "ada@example.com", "content": {"subject": "Hi", "text": "%s"}}'
    room = MAX_NOTIFICATION - len(large % b"")
    reply = await client.post("/v1/notifications", content=large % (b"x" * (room + 1)), headers=JSON)
    assert outcome(reply) == (413, "request_too_large")
    assert await written() == NOTHING
    reply = await client.post("/v1/notifications", content=large % (b"x" * room), headers=JSON)
    assert reply.status_code == 202


async def test_variables_over_256_kib_are_refused(client: httpx2.AsyncClient, written: Written) -> None:
    """Variables may have 256 KiB as JSON; one byte more is a fault of `/variables`."""
    tips = '"Ada","tips":[{"title":"%s","text":"Hi"}]'
    room = MAX_VARIABLES - len(('{"product":"Larkspur","name":' + tips + "}") % "")
    reply = await client.post("/v1/notifications", content=_welcome(tips % ("x" * (room + 1))), headers=JSON)
    assert faults(reply) == {("/variables", "too_large")}
    assert await written() == NOTHING
    reply = await client.post("/v1/notifications", content=_welcome(tips % ("x" * room)), headers=JSON)
    assert reply.status_code == 202


async def test_a_request_announced_as_over_15_mib_is_413_unread(client: httpx2.AsyncClient, written: Written) -> None:
    """A Content-Length over the limit is refused without reading the body."""
    body = _Chunks(MIB, count=16)
    headers = JSON | {"Content-Length": str(16 * MIB)}
    reply = await client.post("/v1/notifications", content=body.read(), headers=headers)
    assert outcome(reply) == (413, "request_too_large")
    assert body.taken == 0
    assert await written() == NOTHING


async def test_a_chunked_request_over_15_mib_is_413_before_it_is_buffered(
    client: httpx2.AsyncClient, written: Written
) -> None:
    """Without a Content-Length reading stops at the limit."""
    body = _Chunks(MIB, count=64)
    reply = await client.post("/v1/notifications", content=body.read(), headers=JSON)
    assert outcome(reply) == (413, "request_too_large")
    assert body.taken <= MAX_REQUEST // MIB + 1
    assert await written() == NOTHING


async def test_a_caller_without_a_key_is_not_read(client: httpx2.AsyncClient) -> None:
    """The body of a request without a key is not read."""
    body = _Chunks(MIB, count=2)
    reply = await client.post("/v1/notifications", content=body.read(), headers=JSON | {"Authorization": ""})
    assert problem(reply)["code"] == "unauthenticated"
    assert body.taken == 0


class _Chunks:
    """A body that counts how much of it was taken."""

    def __init__(self, size: int, *, count: int) -> None:
        self._chunk, self._count = b" " * size, count
        self.taken = 0

    async def read(self) -> AsyncIterator[bytes]:
        for _ in range(self._count):
            self.taken += 1
            yield self._chunk


def test_the_good_request_is_the_smallest_one() -> None:
    """The base request of this file equals the one of other tests."""
    assert json.loads(GOOD) == WELCOME
