"""The line protocol of one connection: reply lines in, commands and bodies out.

A line that no command asked for is never taken for a reply. Once the connection is lost nothing more is written. The
phases of a mail are in `mail_transaction`.
"""

import asyncio
import re
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

from notifier.outcomes import SmtpReply
from notifier.smtp import reply_meaning

MAX_LINE_BYTES = 4096  # bytes; RFC 5321 §4.5.3.1.5 says 512, and real relays send more
MAX_REPLY_BYTES = 64 * 1024
TIMED_OUT = "Timed out waiting for server response"
CLOSED = "the relay closed the connection"
_LINE = re.compile(rb"[2-5][0-9][0-9](?![^ -])")  # the code, then a space, a hyphen or nothing
_MAX_SHOWN_BYTES = 200  # bytes of an invalid line


class RawReply(NamedTuple):
    """A reply as received: its code, and its lines joined by newlines."""

    code: int
    text: str

    @property
    def is_refusal(self) -> bool:
        """True for a temporary or permanent refusal, 4yz or 5yz."""
        return 400 <= self.code < 600  # noqa: PLR2004

    @property
    def is_closing(self) -> bool:
        """True for 421, which is about the connection, not about the mail."""
        return self.code == reply_meaning.SERVICE_CLOSING

    def parse(self) -> SmtpReply:
        """Parse the status code and sanitise the text."""
        return reply_meaning.parse_reply(self.code, self.text)

    def __str__(self) -> str:
        return str(self.parse())


@dataclass(frozen=True, kw_only=True)
class RelayFeatures:
    """The features that the relay offered in its reply to EHLO."""

    pipelining: bool = False  # RFC 2920
    supports_size: bool = False  # RFC 1870: it understands SIZE= at MAIL
    size_limit: int | None = None  # bytes


class LineProtocol(asyncio.Protocol):
    """Takes over a transport on which no reply is pending; one coroutine at a time may wait on it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.lost_reason: str | None = None  # why the connection is lost
        self.is_out_of_step = False  # a reply was unexpected, so others may belong to other commands as well
        self.is_body_taken = False  # the last byte of the body was passed to the system: the relay may have it
        self.on_lost = _do_nothing
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        # TLS reports a buffer as full at `size >= high`, TCP at `size > high`: either way, paused means not empty.
        self._encrypted = transport.get_extra_info("sslcontext") is not None
        transport.set_write_buffer_limits(high=1 if self._encrypted else 0, low=0)
        self._paused = False
        self._ends_body = False  # what is being written ends with the final dot
        self._pending = 0  # replies that are due
        self._replies: deque[RawReply] = deque()
        self._lines: list[bytes] = []  # of the unfinished reply
        self._code = b""
        self._size = 0
        self._rest = b""  # an unfinished line
        self._waiter: asyncio.Future[None] | None = None
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    # -- called by a transaction ------------------------------------------------------------------

    def send_command(self, data: bytes, *, reply_count: int = 1) -> None:
        """Send one or more commands in one write; they get so many replies."""
        if self.is_connected:
            self._pending += reply_count
            self._transport.write(data)

    def write_body(self, data: memoryview, *, last: bool) -> None:
        """Write a slice of a body. After the last one a reply is due, as soon as nothing of it is buffered here."""
        self.is_body_taken = False
        if not self.is_connected:
            return
        self._ends_body = last
        self._transport.write(data)
        # A failed send closes a TCP transport at once, with nothing sent; TLS has a buffer below that we cannot see.
        if last and not self._paused and (self._encrypted or not self._transport.is_closing()):
            self._finish_body()

    async def read_reply(self) -> RawReply | None:
        """Read the next reply, in the order of the commands; None once the connection is lost."""
        while not self._replies:
            if self.lost_reason is not None:
                return None
            await self._wait()
        return self._replies.popleft()

    async def wait_until_drained(self) -> bool:
        """Wait until the socket has accepted everything; return False if the connection was lost instead."""
        while self._paused and self.lost_reason is None:
            await self._wait()
        return self.lost_reason is None

    async def wait_for(self, task: asyncio.Future[Any]) -> bool:
        """Wait until another task is done; return False if the connection was lost before."""
        if not task.done():
            task.add_done_callback(self._wake)
            while not task.done() and self.lost_reason is None:
                await self._wait()
        return task.done()

    @property
    def has_reply(self) -> bool:
        """True if a reply can be read without waiting."""
        return bool(self._replies)

    @property
    def is_connected(self) -> bool:
        """True until the connection is lost or closing."""
        return self.lost_reason is None and not self._transport.is_closing()

    @property
    def is_idle(self) -> bool:
        """True if the connection is open, and no reply is due or unread."""
        return not self._pending and not self._replies and self.is_connected

    def set_deadline(self, seconds: float) -> None:
        """Cut the connection after so many seconds, whatever arrives until then; replaces the deadline before."""
        self._deadline = self._loop.time() + max(seconds, 0.0)
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer(self._deadline)

    def clear_deadline(self) -> None:
        """Remove the deadline."""
        self._deadline = None

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._check_deadline)

    def _check_deadline(self) -> None:
        """Cut the connection at the deadline. One timer serves many deadlines, because most are replaced early."""
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() >= self._deadline:
            self.disconnect(TIMED_OUT)
        else:
            self._set_timer(self._deadline)

    def disconnect(self, reason: str, *, is_out_of_step: bool = False) -> None:
        """Cut the connection now. A plain close would still write what is buffered."""
        self.is_out_of_step = self.is_out_of_step or is_out_of_step  # a lost connection may still have unread replies
        if self.lost_reason is None:
            self.lost_reason = reason
            self.clear_deadline()
            if self._timer is not None:
                self._timer.cancel()
            self._transport.abort()
            self._wake()
            self.on_lost()

    # -- called by the event loop -----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Match each reply to a command; any other line ends the connection."""
        if self.lost_reason is not None:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not self._read_line(line.removesuffix(b"\r")):
                return
        if self._rest and (not self._pending or len(self._rest) > MAX_LINE_BYTES):
            self._refuse(self._rest)
        if self._replies:
            self._wake()

    def eof_received(self) -> None:
        """Cut the connection, because no more replies can come."""
        self.disconnect(CLOSED)

    def connection_lost(self, exc: Exception | None) -> None:
        """Record why the transport was closed."""
        self.disconnect(reply_meaning.parse_reply(0, str(exc)).text if exc is not None and str(exc) else CLOSED)

    def pause_writing(self) -> None:
        """Record that the socket has not accepted everything."""
        self._paused = True

    def resume_writing(self) -> None:
        """Record that the socket has accepted everything."""
        self._paused = False
        if self._ends_body and self.lost_reason is None:
            self._finish_body()
        self._wake()

    # -- internal ----------------------------------------------------------------------------------

    def _finish_body(self) -> None:
        self._ends_body = False
        self.is_body_taken = True
        self._pending += 1

    def _read_line(self, line: bytes) -> bool:
        """Read one line of a reply; cut the connection and return False if it is not valid here."""
        self._size += len(line)
        code = line[:3]
        if (
            not self._pending
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
            self._replies.append(RawReply(int(code), b"\n".join(self._lines).decode("utf-8", "surrogateescape")))
            self._lines.clear()
            self._size = 0
            self._pending -= 1
        return True

    def _refuse(self, line: bytes) -> None:
        """Cut the connection because of a line; 421 may come at any time, and only closes it (RFC 5321 §3.8)."""
        text = reply_meaning.parse_reply(0, line[:_MAX_SHOWN_BYTES].decode("utf-8", "replace")).text
        is_closing = not self._pending and line.startswith(str(reply_meaning.SERVICE_CLOSING).encode())
        self.disconnect(text if is_closing else f"unexpected line: {text}", is_out_of_step=not is_closing)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self, _: object = None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _do_nothing() -> None:
    """Do nothing."""
