"""Receivers that are slow, endless, huge or silent: each uses a bounded time and memory."""

import asyncio
import tracemalloc

import pytest
from integration.webhooks.test_guard import FIELDS, Names, caller
from support.webhook_receiver import Reply, build_reply, run_receiver, silence

from notifier.webhooks import endpoint_client
from notifier.webhooks.endpoint_client import HIDDEN_REPLY, MAX_DETAIL_LENGTH, MAX_REPLY_BYTES, CallResult


async def _say_for_ever(writer: asyncio.StreamWriter, what: bytes, pause: float = 0.0) -> None:
    while True:
        writer.write(what)
        await writer.drain()
        await asyncio.sleep(pause)


async def a_byte_a_second(writer: asyncio.StreamWriter) -> None:
    await _say_for_ever(writer, b"H", 0.2)


async def endless_fields(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await _say_for_ever(writer, b"X-Fill: " + b"x" * 1000 + b"\r\n")


async def one_endless_field(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Fill: ")
    await _say_for_ever(writer, b"x" * 4096)


async def always_going_on(writer: asyncio.StreamWriter) -> None:
    await _say_for_ever(writer, b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


async def garbage(writer: asyncio.StreamWriter) -> None:
    await _say_for_ever(writer, b"\x00\xff\r\n" * 1000)


async def endless_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 503 Busy\r\n\r\nbusy ")
    await _say_for_ever(writer, b"y" * 65536)


async def slow_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    await _say_for_ever(writer, b"z", 0.2)


async def hangs_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _answer(reply: Reply, timeout: float = 1.0) -> CallResult:  # noqa: ASYNC109 - a setting
    async with run_receiver() as receiver:
        receiver.always["/hook"] = reply
        client = caller(Names(["127.0.0.1"]), insecure_hosts=("127.0.0.1",), timeout=timeout)
        return await client.post(receiver.url(), FIELDS, b"{}" * 1000)


@pytest.mark.parametrize(
    "reply", [silence, a_byte_a_second, endless_fields, one_endless_field, always_going_on, garbage, hangs_up]
)
async def test_no_reply_that_is_one(reply: Reply) -> None:
    """An invalid reply is a failed try that ends in time and uses little memory."""
    tracemalloc.start()
    answer = await _answer(reply)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.code is None
    assert not answer.is_success
    assert answer.detail
    assert peak < 4 * 1024 * 1024


@pytest.mark.parametrize(("reply", "code"), [(endless_body, 503), (slow_body, 200)])
async def test_the_status_counts_whatever_follows(reply: Reply, code: int) -> None:
    """The status counts although the body is endless or slow."""
    answer = await _answer(reply)
    assert answer.code == code


def test_what_was_said_is_kept_short_and_clean() -> None:
    """The stored reply is the first 200 characters in one line, without control characters."""
    detail = endpoint_client._clean_text(b"no\x00 \x1b[31mred\r\n  " + b"\xff" + b"x" * 1000)
    assert detail.startswith("no [31mred \ufffdxxx")
    assert len(detail) <= MAX_DETAIL_LENGTH < MAX_REPLY_BYTES
    assert detail.isprintable()


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "500 Internal Server Error"])
async def test_what_an_insecure_host_says_is_not_kept(status: str) -> None:
    """The reply of an insecure host is not stored, because any service of this machine may be behind such a URL."""
    answer = await _answer(build_reply(status, b"root password: hunter2", X_Secret="hunter2"))
    assert (answer.code, answer.detail) == (int(status[:3]), HIDDEN_REPLY)
    assert "hunter2" not in repr(answer)


async def test_nobody_listens() -> None:
    """A refused connection is a failed try with that reason."""
    async with run_receiver() as receiver:
        url = receiver.url()
    answer = await caller(Names(["127.0.0.1"]), insecure_hosts=("127.0.0.1",)).post(url, FIELDS, b"{}")
    assert (answer.code, answer.detail) == (None, "no connection: ConnectionRefusedError")


async def test_a_server_of_names_that_does_not_answer() -> None:
    """The time of a DNS lookup is part of the time of the try."""

    class Mute(Names):
        async def __call__(self, host: str, port: int) -> list[str]:
            await asyncio.Event().wait()
            return []

    answer = await caller(Mute(), insecure_hosts=("127.0.0.1",), timeout=1.0).post("http://127.0.0.1/", FIELDS, b"{}")
    assert (answer.code, answer.detail) == (None, "no reply within 1 seconds")
