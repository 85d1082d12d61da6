"""The parent's end of the socket to a rendering child: requests out, answers in, in order, the front one against time.

More than one request may be under way, so that the child never waits for its next. When the child is lost, the request
that it was working at is told how; those behind it are told that nothing was wrong with them.
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

MIN_GUILTY_CPU_SECONDS = 0.5
"""Of processor time; a child that had less was not slow, it was not let to run, and its mail is not to blame."""
ANSWER_BUFFER_BYTES = 1024 * 1024  # bytes for answers; a larger one makes it grow
MAX_ANSWER_FRAME_BYTES = 256 * 1024 * 1024

_ANSWER_DECODER: msgspec.msgpack.Decoder[ChildAnswer] = msgspec.msgpack.Decoder(ChildAnswer)


class LossReason(StrEnum):
    """How a request lost its child."""

    OVERRAN = "overran"
    STARVED = "starved"
    DIED = "died"
    BEHIND = "behind"  # another request was the one being worked at


class ChildLostError(NotifierError):
    """A rendering child overran its time or died."""

    def __init__(self, how: LossReason) -> None:
        self.reason = how
        super().__init__()


@dataclass(frozen=True, kw_only=True, eq=False)
class _PendingRequest:
    """A request under way."""

    wall: float  # seconds, from the moment when it is the front one
    answer: asyncio.Future[ChildAnswer]


class ChildConnection(asyncio.BufferedProtocol):
    """One child's requests and answers, until the child is lost."""

    def __init__(
        self, processor_seconds: Callable[[], float], kill: Callable[[], None], worked: Callable[[float], None]
    ) -> None:
        self._processor_seconds = processor_seconds
        self._report_cpu_seconds = worked  # told how many of these each request took
        self._kill = kill
        self._loop = asyncio.get_running_loop()
        self._ready = self._loop.create_future()
        self._pending: deque[_PendingRequest] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._cpu_seconds_before = 0.0  # processor seconds of the child when the front request became that
        self._buffer = bytearray(ANSWER_BUFFER_BYTES)
        self._filled = 0
        self._closed = self._loop.create_future()
        self.is_lost = False

    async def wait_until_ready(self, seconds: float) -> None:
        """Wait until the child says that it is there; raises `TimeoutError`, or `ChildLostError` if it is not."""
        async with asyncio.timeout(seconds):
            await self._ready

    def send_request(self, payload: bytes, wall: float) -> asyncio.Future[ChildAnswer]:
        """Send a request; its answer is due `wall` seconds after the one before was given.

        The answer may fail with `ChildLostError`.
        """
        if self.is_lost:
            raise ChildLostError(LossReason.BEHIND)
        asked = _PendingRequest(wall=wall, answer=self._loop.create_future())
        self._pending.append(asked)
        self._transport.write(FRAME_HEADER.pack(len(payload)) + payload)
        if len(self._pending) == 1:
            self._start_timer()
        return asked.answer

    async def close(self) -> None:
        """Hang up, on which the child ends by itself; what is under way is lost."""
        self._fail_pending(LossReason.DIED)
        self._transport.abort()  # a child that reads no more must not hold up the end
        await self._closed

    # -- what the event loop calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is in the loop's hands."""
        self._transport = cast("asyncio.Transport", transport)  # a connected socket's; uvloop's is of another class

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - there is always room
        """Where to put what comes next."""
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Hand out the answers that are complete, keep what follows, and have room for the rest of it."""
        self._filled += nbytes
        start = 0
        while (needed := self._get_frame_size(start)) <= self._filled - start and not self.is_lost:
            self._handle_answer(memoryview(self._buffer)[start + FRAME_HEADER.size : start + needed])
            start += needed
        if needed > MAX_ANSWER_FRAME_BYTES:
            self._drop_child(LossReason.DIED)
            return
        room = max(ANSWER_BUFFER_BYTES, needed)
        if start or room != len(self._buffer):
            rest = self._buffer[start : self._filled]
            if room != len(self._buffer):
                self._buffer = bytearray(room)
            self._buffer[: len(rest)] = rest
            self._filled = len(rest)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it is gone, whatever the reason
        """The child has ended, or we have."""
        self._drop_child(LossReason.DIED)
        self._closed.set_result(None)

    # -- details, in call order -------------------------------------------------------------------

    def _get_frame_size(self, start: int) -> int:
        """The size of the frame that begins there, or of its head while that is all that is known."""
        there = self._filled - start >= FRAME_HEADER.size
        return FRAME_HEADER.size + (FRAME_HEADER.unpack_from(self._buffer, start)[0] if there else 0)

    def _start_timer(self) -> None:
        """From now on, time counts against the front request."""
        self._cpu_seconds_before = self._processor_seconds()
        self._timer = self._loop.call_later(self._pending[0].wall, self._handle_timeout)

    def _stop_timer(self) -> None:
        """The front request is over, however it ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._report_cpu_seconds(self._processor_seconds() - self._cpu_seconds_before)

    def _handle_timeout(self) -> None:
        starved = self._processor_seconds() - self._cpu_seconds_before < min(
            self._pending[0].wall, MIN_GUILTY_CPU_SECONDS
        )
        self._drop_child(LossReason.STARVED if starved else LossReason.OVERRAN)

    def _handle_answer(self, frame: memoryview) -> None:
        if not self._ready.done():
            self._ready.set_result(None)
            return
        try:
            answer = _ANSWER_DECODER.decode(frame)
            asked = self._pending.popleft()
        except (msgspec.MsgspecError, IndexError):  # not what a child of ours says: it is not to be trusted any more
            self._drop_child(LossReason.DIED)
            return
        self._stop_timer()
        if self._pending:
            self._start_timer()
        if not asked.answer.done():  # whoever asked may have given up; the answer is then nobody's
            asked.answer.set_result(answer)

    def _drop_child(self, how: LossReason) -> None:
        """Kill the child; nothing that it still says counts."""
        if not self.is_lost:
            self._fail_pending(how)
            self._kill()
            self._transport.abort()

    def _fail_pending(self, how: LossReason) -> None:
        self.is_lost = True
        self._stop_timer()
        if not self._ready.done():
            self._ready.set_exception(ChildLostError(how))
        for asked in self._pending:
            if not asked.answer.done():
                asked.answer.set_exception(ChildLostError(how))
            how = LossReason.BEHIND
        self._pending.clear()
