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
from notifier.rendering.child import FRAME
from notifier.rendering.job import Answer

GUILTY_CPU_SECONDS = 0.5
"""Of processor time; a child that had less was not slow, it was not let to run, and its mail is not to blame."""
ROOM = 1024 * 1024  # bytes for answers; a larger one makes it grow
LARGEST_ANSWER = 256 * 1024 * 1024

_DECODER: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


class Loss(StrEnum):
    """How a request lost its child."""

    OVERRAN = "overran"
    STARVED = "starved"
    DIED = "died"
    BEHIND = "behind"  # another request was the one being worked at


class ChildLostError(NotifierError):
    """A rendering child overran its time or died."""

    def __init__(self, how: Loss) -> None:
        self.how = how
        super().__init__()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    """A request under way."""

    wall: float  # seconds, from the moment when it is the front one
    answer: asyncio.Future[Answer]


class Link(asyncio.BufferedProtocol):
    """One child's requests and answers, until the child is lost."""

    def __init__(
        self, processor_seconds: Callable[[], float], kill: Callable[[], None], worked: Callable[[float], None]
    ) -> None:
        self._processor_seconds = processor_seconds
        self._worked = worked  # told how many of these each request took
        self._kill = kill
        self._loop = asyncio.get_running_loop()
        self._hello = self._loop.create_future()
        self._asked: deque[_Asked] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._used = 0.0  # processor seconds of the child when the front request became that
        self._buffer = bytearray(ROOM)
        self._filled = 0
        self._closed = self._loop.create_future()
        self.is_lost = False

    async def ready(self, seconds: float) -> None:
        """Wait until the child says that it is there; raises `TimeoutError`, or `ChildLostError` if it is not."""
        async with asyncio.timeout(seconds):
            await self._hello

    def ask(self, payload: bytes, wall: float) -> asyncio.Future[Answer]:
        """Send a request; its answer is due `wall` seconds after the one before was given.

        The answer may fail with `ChildLostError`.
        """
        if self.is_lost:
            raise ChildLostError(Loss.BEHIND)
        asked = _Asked(wall=wall, answer=self._loop.create_future())
        self._asked.append(asked)
        self._transport.write(FRAME.pack(len(payload)) + payload)
        if len(self._asked) == 1:
            self._begin()
        return asked.answer

    async def close(self) -> None:
        """Hang up, on which the child ends by itself; what is under way is lost."""
        self._give_up(Loss.DIED)
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
        while (needed := self._needed(start)) <= self._filled - start and not self.is_lost:
            self._answered(memoryview(self._buffer)[start + FRAME.size : start + needed])
            start += needed
        if needed > LARGEST_ANSWER:
            self._lose(Loss.DIED)
            return
        room = max(ROOM, needed)
        if start or room != len(self._buffer):
            rest = self._buffer[start : self._filled]
            if room != len(self._buffer):
                self._buffer = bytearray(room)
            self._buffer[: len(rest)] = rest
            self._filled = len(rest)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it is gone, whatever the reason
        """The child has ended, or we have."""
        self._lose(Loss.DIED)
        self._closed.set_result(None)

    # -- details, in call order -------------------------------------------------------------------

    def _needed(self, start: int) -> int:
        """The size of the frame that begins there, or of its head while that is all that is known."""
        there = self._filled - start >= FRAME.size
        return FRAME.size + (FRAME.unpack_from(self._buffer, start)[0] if there else 0)

    def _begin(self) -> None:
        """From now on, time counts against the front request."""
        self._used = self._processor_seconds()
        self._timer = self._loop.call_later(self._asked[0].wall, self._overrun)

    def _end(self) -> None:
        """The front request is over, however it ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._worked(self._processor_seconds() - self._used)

    def _overrun(self) -> None:
        starved = self._processor_seconds() - self._used < min(self._asked[0].wall, GUILTY_CPU_SECONDS)
        self._lose(Loss.STARVED if starved else Loss.OVERRAN)

    def _answered(self, frame: memoryview) -> None:
        if not self._hello.done():
            self._hello.set_result(None)
            return
        try:
            answer = _DECODER.decode(frame)
            asked = self._asked.popleft()
        except (msgspec.MsgspecError, IndexError):  # not what a child of ours says: it is not to be trusted any more
            self._lose(Loss.DIED)
            return
        self._end()
        if self._asked:
            self._begin()
        if not asked.answer.done():  # whoever asked may have given up; the answer is then nobody's
            asked.answer.set_result(answer)

    def _lose(self, how: Loss) -> None:
        """Kill the child; nothing that it still says counts."""
        if not self.is_lost:
            self._give_up(how)
            self._kill()
            self._transport.abort()

    def _give_up(self, how: Loss) -> None:
        self.is_lost = True
        self._end()
        if not self._hello.done():
            self._hello.set_exception(ChildLostError(how))
        for asked in self._asked:
            if not asked.answer.done():
                asked.answer.set_exception(ChildLostError(how))
            how = Loss.BEHIND
        self._asked.clear()
