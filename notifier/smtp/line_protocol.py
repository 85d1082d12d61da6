"""The bytes of one connection: reply lines in, commands and bodies out, never a reply without its command.

It promises that nothing the relay says unasked is taken for an answer, and that a lost connection writes not one byte
more. It knows no phases: those are the transaction's.
"""

import asyncio
import re
from collections import deque
from typing import Any, NamedTuple

from notifier.smtp import reply_meaning

MAX_LINE_BYTES = 4096  # octets; RFC 5321 §4.5.3.1.5 says 512, and real relays say more
MAX_REPLY_BYTES = 64 * 1024
TIMED_OUT = "Timed out waiting for server response"
CLOSED = "the relay closed the connection"
_LINE = re.compile(rb"[2-5][0-9][0-9](?![^ -])")  # the code, and then a space, a hyphen or nothing
_MAX_SHOWN_BYTES = 200  # octets of a line that nobody understands


class RawReply(NamedTuple):
    """A reply as it came: its code, and its lines joined by newlines."""

    code: int
    text: str

    def __str__(self) -> str:
        return str(reply_meaning.parse_reply(self.code, self.text))


class LineProtocol(asyncio.Protocol):
    """Takes over a transport on which the relay owes no reply; one coroutine at a time may wait on it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.lost_reason: str | None = None  # why nothing more can be said or heard
        self.is_out_of_step = False  # the relay said more than was asked, so its answers may belong to other questions
        self.is_body_taken = False  # the last byte of the body has left our hands: the relay may have it
        self.on_lost = _do_nothing
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        # TLS reports a buffer as full at `size >= high`, TCP at `size > high`: either way, paused means not empty.
        self._encrypted = transport.get_extra_info("sslcontext") is not None
        transport.set_write_buffer_limits(high=1 if self._encrypted else 0, low=0)
        self._paused = False
        self._ends_body = False  # what is being written ends with the final dot
        self._owed = 0  # replies to what was said
        self._answers: deque[RawReply] = deque()
        self._lines: list[bytes] = []  # of the reply that is being read
        self._code = b""
        self._size = 0
        self._rest = b""  # the beginning of a line
        self._waiter: asyncio.Future[None] | None = None
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    # -- what a transaction asks for --------------------------------------------------------------

    def send_command(self, data: bytes, *, answers: int = 1) -> None:
        """Say one or more commands in one write."""
        if self.is_connected:
            self._owed += answers
            self._transport.write(data)

    def write_body(self, data: memoryview, *, last: bool) -> None:
        """Write a slice of a body. With the last one the relay owes a reply, as soon as nothing of it is left here."""
        self.is_body_taken = False
        if not self.is_connected:
            return
        self._ends_body = last
        self._transport.write(data)
        # A failed send closes a TCP transport at once, with nothing taken; TLS has a buffer below that we cannot see.
        if last and not self._paused and (self._encrypted or not self._transport.is_closing()):
            self._took_all()

    async def read_reply(self) -> RawReply | None:
        """The next reply that was asked for, in order; None once the connection is lost."""
        while not self._answers:
            if self.lost_reason is not None:
                return None
            await self._turn()
        return self._answers.popleft()

    async def wait_until_drained(self) -> bool:
        """Wait until the socket has taken everything; False if the connection was lost instead."""
        while self._paused and self.lost_reason is None:
            await self._turn()
        return self.lost_reason is None

    async def wait_for(self, task: asyncio.Future[Any]) -> bool:
        """Wait until somebody else's work is done; False if the connection was lost before."""
        if not task.done():
            task.add_done_callback(self._wake)
            while not task.done() and self.lost_reason is None:
                await self._turn()
        return task.done()

    @property
    def has_reply(self) -> bool:
        """True if the next answer need not be waited for."""
        return bool(self._answers)

    @property
    def is_connected(self) -> bool:
        """True until the connection is lost or closing."""
        return self.lost_reason is None and not self._transport.is_closing()

    @property
    def is_idle(self) -> bool:
        """True if the connection stands, and no reply is owed or lies here unread."""
        return not self._owed and not self._answers and self.is_connected

    def set_deadline(self, seconds: float) -> None:
        """Cut the connection in so many seconds, whatever trickles in until then; replaces the limit before."""
        self._deadline = self._loop.time() + max(seconds, 0.0)
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer(self._deadline)

    def clear_deadline(self) -> None:
        """No limit any more."""
        self._deadline = None

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look_at_limit)

    def _look_at_limit(self) -> None:
        """One timer serves many limits: most of them are replaced long before they are reached."""
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() >= self._deadline:
            self.disconnect(TIMED_OUT)
        else:
            self._set_timer(self._deadline)

    def disconnect(self, reason: str, *, out_of_turn: bool = False) -> None:
        """Cut the connection now. A plain close would go on writing what is buffered."""
        self.is_out_of_step = self.is_out_of_step or out_of_turn  # what came before it was lost may be unread
        if self.lost_reason is None:
            self.lost_reason = reason
            self.clear_deadline()
            if self._timer is not None:
                self._timer.cancel()
            self._transport.abort()
            self._wake()
            self.on_lost()

    # -- what the event loop calls ----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Pair each reply with the command that is owed one; anything else ends the connection."""
        if self.lost_reason is not None:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not self._hear(line.removesuffix(b"\r")):
                return
        if self._rest and (not self._owed or len(self._rest) > MAX_LINE_BYTES):
            self._refuse(self._rest)
        if self._answers:
            self._wake()

    def eof_received(self) -> None:
        """No reply can come any more, so nothing more is said either."""
        self.disconnect(CLOSED)

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport's last call."""
        self.disconnect(reply_meaning.parse_reply(0, str(exc)).text if exc is not None and str(exc) else CLOSED)

    def pause_writing(self) -> None:
        """The socket has not taken all."""
        self._paused = True

    def resume_writing(self) -> None:
        """The socket has taken all."""
        self._paused = False
        if self._ends_body and self.lost_reason is None:
            self._took_all()
        self._wake()

    # -- how ---------------------------------------------------------------------------------------

    def _took_all(self) -> None:
        self._ends_body = False
        self.is_body_taken = True
        self._owed += 1

    def _hear(self, line: bytes) -> bool:
        """Take one line of a reply; False, with the connection cut, if there is no place for it."""
        self._size += len(line)
        code = line[:3]
        if (
            not self._owed
            or not _LINE.match(line)
            or (self._lines and code != self._code)
            or len(line) > MAX_LINE_BYTES
            or self._size > MAX_REPLY_BYTES
        ):
            self._refuse(line)
            return False
        self._lines.append(line[4:])
        self._code = code
        if line[3:4] != b"-":
            self._answers.append(RawReply(int(code), b"\n".join(self._lines).decode("utf-8", "surrogateescape")))
            self._lines.clear()
            self._size = 0
            self._owed -= 1
        return True

    def _refuse(self, line: bytes) -> None:
        """Cut the connection over a line; 421 may come at any time, and only says goodbye (RFC 5321 §3.8)."""
        text = reply_meaning.parse_reply(0, line[:_MAX_SHOWN_BYTES].decode("utf-8", "replace")).text
        farewell = not self._owed and line.startswith(str(reply_meaning.SERVICE_CLOSING).encode())
        self.disconnect(text if farewell else f"unexpected line: {text}", out_of_turn=not farewell)

    async def _turn(self) -> None:
        """Wait until something has happened."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self, _: object = None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _do_nothing() -> None:
    """Nobody wants to know."""
