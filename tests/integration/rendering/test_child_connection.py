"""The parent's end of a child's socket, with a scripted child."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from notifier.errors import NotifierError
from notifier.rendering.child_connection import (
    ANSWER_BUFFER_BYTES,
    MAX_ANSWER_FRAME_BYTES,
    ChildConnection,
    ChildLostError,
    LossReason,
)
from notifier.rendering.child_program import FRAME_HEADER, READY_FRAME
from notifier.rendering.protocol import ChildAnswer, RenderBatchAnswer
from notifier.template_language.template_source import RenderFault

SOON = 20.0  # seconds; more than any test takes


class Scripted:
    """A child with scripted replies and scripted processor time."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.used = 0.0
        self.killed = asyncio.Event()
        self.worked: list[float] = []

    async def say(self, *frames: bytes) -> None:
        """Send these frames at once."""
        data = b"".join(FRAME_HEADER.pack(len(frame)) + frame for frame in frames)
        await asyncio.get_running_loop().sock_sendall(self.connection, data)

    async def mutter(self, data: bytes) -> None:
        """Send these bytes one by one, each as a separate read."""
        for octet in data:
            await asyncio.get_running_loop().sock_sendall(self.connection, bytes([octet]))
            await asyncio.sleep(0)


def batch(message: str) -> bytes:
    """An answer with one result, identified by its message."""
    return msgspec.msgpack.encode(answer(message))


def answer(message: str) -> RenderBatchAnswer:
    """The same answer as the parent reads it."""
    return RenderBatchAnswer(results=[RenderFault(part="mail", line=None, message=message)], seconds=[0.0])


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[ChildConnection, Scripted]]:
    """A connected link and its child."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.settimeout(0)
    with theirs:
        child = Scripted(theirs)
        _, link = await asyncio.get_running_loop().create_connection(
            lambda: ChildConnection(lambda: child.used, child.killed.set, child.worked.append), sock=ours
        )
        await asyncio.get_running_loop().sock_sendall(theirs, READY_FRAME)
        await link.wait_until_ready(SOON)
        yield link, child
        await link.close()


async def loss(answer: asyncio.Future[ChildAnswer]) -> LossReason:
    """The error of a request that lost its child."""
    with pytest.raises(ChildLostError) as caught:
        await asyncio.wait_for(answer, SOON)
    return caught.value.reason


async def test_answers_belong_to_requests_in_order() -> None:
    """Two answers in one read go to their own requests."""
    async with linked() as (link, child):
        answers = [link.send_request(b"x", SOON), link.send_request(b"y", SOON)]
        await child.say(batch("first"), batch("second"))
        assert await asyncio.gather(*answers) == [answer("first"), answer("second")]


async def test_an_answer_in_small_pieces() -> None:
    """Answers are complete however the stream is split."""
    async with linked() as (link, child):
        answers = [link.send_request(b"x", SOON), link.send_request(b"y", SOON)]
        frames = (batch("first"), batch("second"))
        await child.mutter(b"".join(FRAME_HEADER.pack(len(frame)) + frame for frame in frames))
        assert await asyncio.gather(*answers) == [answer("first"), answer("second")]


async def test_an_answer_larger_than_the_room() -> None:
    """The buffer grows for a large answer, and small ones around it are read too."""
    large = "x" * (3 * ANSWER_BUFFER_BYTES)
    async with linked() as (link, child):
        answers = [link.send_request(b"", SOON) for _ in range(3)]
        saying = asyncio.create_task(child.say(batch("before"), batch(large), batch("behind")))
        assert await asyncio.gather(*answers) == [answer("before"), answer(large), answer("behind")]
        await saying


async def test_an_answer_that_nobody_waits_for_is_dropped() -> None:
    """The answer to a cancelled request is dropped, and the next request gets its own."""
    async with linked() as (link, child):
        given_up, second = link.send_request(b"x", SOON), link.send_request(b"y", SOON)
        given_up.cancel()
        await child.say(batch("first"), batch("second"))
        assert await second == answer("second")


@pytest.mark.parametrize(("used", "how"), [(0.005, LossReason.OVERRAN), (0.004, LossReason.STARVED)])
async def test_only_the_front_request_is_to_blame(used: float, how: LossReason) -> None:
    """The first request overran or was starved, by processor time; the second is not blamed."""
    async with linked() as (link, child):
        front, behind = link.send_request(b"x", 0.01), link.send_request(b"y", SOON)
        child.used = used
        assert await loss(front) is how
        assert await loss(behind) is LossReason.BEHIND
        assert child.killed.is_set()


async def test_time_counts_from_the_answer_before() -> None:
    """Processor time of the previous request is not counted for the next."""
    async with linked() as (link, child):
        first, second = link.send_request(b"x", SOON), link.send_request(b"y", 0.01)
        child.used = 5.0
        await child.say(batch("first"))
        assert await first == answer("first")
        assert await loss(second) is LossReason.STARVED


@pytest.mark.parametrize("said", [b"\xc1", msgspec.msgpack.encode(["no", "answer"])])
async def test_a_child_that_talks_nonsense_is_killed(said: bytes) -> None:
    """An invalid answer kills the child, and later bytes are ignored."""
    async with linked() as (link, child):
        front, behind = link.send_request(b"x", SOON), link.send_request(b"y", SOON)
        await child.say(said, batch("first"))
        assert await loss(front) is LossReason.DIED
        assert await loss(behind) is LossReason.BEHIND
        assert child.killed.is_set()


async def test_a_child_that_speaks_unasked_is_killed() -> None:
    """An answer without a request kills the child."""
    async with linked() as (link, child):
        await child.say(batch("first"))
        await asyncio.wait_for(child.killed.wait(), SOON)
        with pytest.raises(ChildLostError):
            link.send_request(b"x", SOON)


async def test_a_child_that_announces_too_much_is_killed() -> None:
    """A frame length over the maximum kills the child."""
    async with linked() as (link, child):
        pending = link.send_request(b"x", SOON)
        await asyncio.get_running_loop().sock_sendall(child.connection, FRAME_HEADER.pack(MAX_ANSWER_FRAME_BYTES))
        assert await loss(pending) is LossReason.DIED


async def test_an_answer_before_the_end_counts() -> None:
    """A child that dies after the first answer loses only the second request."""
    async with linked() as (link, child):
        first, second = link.send_request(b"x", SOON), link.send_request(b"y", SOON)
        await child.say(batch("first"))
        child.connection.shutdown(socket.SHUT_RDWR)
        assert await first == answer("first")
        assert await loss(second) is LossReason.DIED


async def test_it_is_told_what_each_request_took() -> None:
    """The processor time of each request is reported, also of one that overran."""
    async with linked() as (link, child):
        first, second = link.send_request(b"x", SOON), link.send_request(b"y", 0.05)
        child.used = 0.5
        await child.say(batch("first"))
        await first
        child.used = 0.75
        await loss(second)
        child.used = 9.0
    assert child.worked == [0.5, 0.25]


async def test_a_child_that_never_says_hello() -> None:
    """A child that ends before it is ready raises its own error."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    _, link = await asyncio.get_running_loop().create_connection(
        lambda: ChildConnection(lambda: 0.0, lambda: None, lambda _: None), sock=ours
    )
    theirs.close()
    with pytest.raises(NotifierError):
        await link.wait_until_ready(SOON)
