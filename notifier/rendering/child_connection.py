"""The parent's end of the socket to a rendering child: requests out, answers in, in order, each with a time limit.

Several requests may be under way, so that the child never waits for its next. When the child is lost, the request that
it was working on gets the reason. Those behind it get `BEHIND`, and may be sent to another child.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import msgspec

from notifier.errors import NotifierError
from notifier.rendering.child_program import FRAME_HEADER
from notifier.rendering.protocol import ChildAnswer

MAX_INNOCENT_CPU_SECONDS = 1.0
"""A child that overran was starved, and its mail is not to blame, if it got fewer processor seconds than this and than
half of its time limit: a check may take a second for all languages together, a mail half a second."""
ANSWER_BUFFER_BYTES = 1024 * 1024  # bytes for answers; a larger one makes it grow
MAX_ANSWER_FRAME_BYTES = 256 * 1024 * 1024

_ANSWER_DECODER: msgspec.msgpack.Decoder[ChildAnswer] = msgspec.msgpack.Decoder(ChildAnswer)


class LossReason(StrEnum):
    """How a request lost its child."""

    OVERRAN = "overran"
    STARVED = "starved"
    DIED = "died"
    BEHIND = "behind"  # the child was working on another request


class ChildLostError(NotifierError):
    """A rendering child overran its time or died."""

    def __init__(self, reason: LossReason) -> None:
        self.reason = reason
        super().__init__()


@dataclass(frozen=True, kw_only=True, eq=False)
class _PendingRequest:
    """A request under way."""

    wall: float  # seconds, counted from when it is the first in line
    answer: asyncio.Future[ChildAnswer]


class ChildConnection(asyncio.BufferedProtocol):
    """One child's requests and answers, until the child is lost."""

    def __init__(
        self,
        get_cpu_seconds: Callable[[], float],
        kill: Callable[[], None],
        report_cpu_seconds: Callable[[float], None],
    ) -> None:
        self._get_cpu_seconds = get_cpu_seconds
        self._report_cpu_seconds = report_cpu_seconds  # called with what each request took
        self._kill = kill
        self._loop = asyncio.get_running_loop()
        self._ready = self._loop.create_future()
        self._pending: deque[_PendingRequest] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._cpu_seconds_before = 0.0  # of the child, when its present request began
        self._buffer = bytearray(ANSWER_BUFFER_BYTES)
        self._filled = 0
        self._closed = self._loop.create_future()
        self.is_lost = False

    async def wait_until_ready(self, seconds: float) -> None:
        """Wait until the child says that it is ready; raises `TimeoutError` or `ChildLostError`."""
        async with asyncio.timeout(seconds):
            await self._ready

    def send_request(self, payload: bytes, wall: float) -> asyncio.Future[ChildAnswer]:
        """Send a request; its answer is due `wall` seconds after the one before was given.

        The answer may fail with `ChildLostError`.
        """
        if self.is_lost:
            raise ChildLostError(LossReason.BEHIND)
        request = _PendingRequest(wall=wall, answer=self._loop.create_future())
        self._pending.append(request)
        self._transport.write(FRAME_HEADER.pack(len(payload)) + payload)
        if len(self._pending) == 1:
            self._start_timer()
        return request.answer

    async def close(self) -> None:
        """Close the connection, on which the child ends by itself; requests under way are lost."""
        self._fail_pending(LossReason.DIED)
        self._transport.abort()  # a child that reads no more must not hold up the end
        await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # a connected socket's; uvloop's is of another class

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - there is always room
        """Return where the next bytes go."""
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Handle the complete answers, keep the rest, and make the buffer large enough for the next answer."""
        self._filled += nbytes
        start = 0
        while (needed := self._get_frame_size(start)) <= self._filled - start and not self.is_lost:
            self._handle_answer(memoryview(self._buffer)[start + FRAME_HEADER.size : start + needed])
            start += needed
        if needed > MAX_ANSWER_FRAME_BYTES:
            self._drop_child(LossReason.DIED)
            return
        size = max(ANSWER_BUFFER_BYTES, needed)
        if start or size != len(self._buffer):
            rest = self._buffer[start : self._filled]
            if size != len(self._buffer):
                self._buffer = bytearray(size)
            self._buffer[: len(rest)] = rest
            self._filled = len(rest)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it is gone, whatever the reason
        """Drop the child, because its process or ours has ended."""
        self._drop_child(LossReason.DIED)
        self._closed.set_result(None)

    def _get_frame_size(self, start: int) -> int:
        """Return the size of the frame at `start`, or of its header while that is incomplete."""
        has_header = self._filled - start >= FRAME_HEADER.size
        return FRAME_HEADER.size + (FRAME_HEADER.unpack_from(self._buffer, start)[0] if has_header else 0)

    def _start_timer(self) -> None:
        """Count time against the first request from now on."""
        self._cpu_seconds_before = self._get_cpu_seconds()
        self._timer = self._loop.call_later(self._pending[0].wall, self._handle_timeout)

    def _stop_timer(self) -> None:
        """End the first request, and report its processor seconds."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._report_cpu_seconds(self._get_cpu_seconds() - self._cpu_seconds_before)

    def _handle_timeout(self) -> None:
        cpu_seconds = self._get_cpu_seconds() - self._cpu_seconds_before
        starved = cpu_seconds < min(self._pending[0].wall / 2, MAX_INNOCENT_CPU_SECONDS)
        self._drop_child(LossReason.STARVED if starved else LossReason.OVERRAN)

    def _handle_answer(self, frame: memoryview) -> None:
        if not self._ready.done():
            self._ready.set_result(None)
            return
        try:
            answer = _ANSWER_DECODER.decode(frame)
            request = self._pending.popleft()
        except (msgspec.MsgspecError, IndexError):  # no answer of ours: the child is not to be trusted any more
            self._drop_child(LossReason.DIED)
            return
        self._stop_timer()
        if self._pending:
            self._start_timer()
        if not request.answer.done():  # the caller may have been cancelled
            request.answer.set_result(answer)

    def _drop_child(self, reason: LossReason) -> None:
        """Kill the child; its later answers are ignored."""
        if not self.is_lost:
            self._fail_pending(reason)
            self._kill()
            self._transport.abort()

    def _fail_pending(self, reason: LossReason) -> None:
        self.is_lost = True
        self._stop_timer()
        if not self._ready.done():
            self._ready.set_exception(ChildLostError(reason))
        for request in self._pending:
            if not request.answer.done():
                request.answer.set_exception(ChildLostError(reason))
            reason = LossReason.BEHIND
        self._pending.clear()
