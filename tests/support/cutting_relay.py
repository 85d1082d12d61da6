"""A raw relay that cuts one transaction at an exact byte, in either direction, and records its progress."""

import asyncio
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from notifier.smtp.line_protocol import LineProtocol, RelayFeatures
from notifier.smtp.smtp_session import SmtpSession

BUFFER = 4096  # requested bytes, in both directions; the kernel gives more
REPLIES = {b"MAIL": b"250 2.1.0 ok\r\n", b"RCPT": b"250 2.1.5 ok\r\n", b"DATA": b"354 go ahead\r\n"}
QUEUED = b"250 2.0.0 queued\r\n"
SAID = sum(map(len, REPLIES.values())) + len(QUEUED)
_END = b"\r\n.\r\n"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where to cut: after so many bytes sent or received, whichever comes first; with RST, or with FIN."""

    said: int = 1 << 30
    heard: int = 1 << 30
    reset: bool = True


@dataclass(frozen=True, kw_only=True)
class RelayRecord:
    """The relay's record of a transaction, for comparison with the outcome."""

    heard: int  # bytes
    said: int
    had_dot: bool

    @property
    def answered(self) -> bool:
        """True if the relay sent all replies, including the one to the dot."""
        return self.said == SAID


class CuttingRelay:
    """Listens on loopback with small buffers; use it as an async context manager."""

    async def __aenter__(self) -> Self:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._listener.settimeout(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    async def connect(self, *, pipelining: bool) -> tuple[SmtpSession, socket.socket, int]:
        """Open a session; return it, the relay's socket, and the capacity of all buffers in bytes."""
        loop = asyncio.get_running_loop()
        ours = socket.socket()
        ours.settimeout(0)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        await loop.sock_connect(ours, self._listener.getsockname())
        theirs, _ = await loop.sock_accept(self._listener)
        room = ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        room += theirs.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        return await session_on(ours, RelayFeatures(pipelining=pipelining)), theirs, room


async def session_on(ours: socket.socket, offer: RelayFeatures) -> SmtpSession:
    """Build a session on a socket, like one taken over from aiosmtplib."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    wire = LineProtocol(transport)
    transport.set_protocol(wire)
    return SmtpSession(wire, offer)


async def serve(connection: socket.socket, cut: Cut) -> RelayRecord:
    """Reply like a relay until the cut, or until the client is gone."""
    loop = asyncio.get_running_loop()
    heard, said, had_dot, in_body, buffer = 0, 0, False, False, bytearray()
    while said < cut.said and heard < cut.heard:
        try:
            data = await loop.sock_recv(connection, min(BUFFER, cut.heard - heard))
        except ConnectionError:
            break
        if not data:
            break
        heard += len(data)
        buffer += data
        answer = bytearray()
        while (end := buffer.find(_END if in_body else b"\r\n")) >= 0:
            answer += QUEUED if in_body else REPLIES[bytes(buffer[:4])]
            had_dot = had_dot or in_body
            in_body = buffer.startswith(b"DATA")
            del buffer[: end + (5 if had_dot else 2)]
        if heard < cut.heard:  # a command that the last byte completes gets no reply
            said += await _say(connection, bytes(answer[: cut.said - said]))
    if cut.reset:
        reset(connection)
    connection.close()
    return RelayRecord(heard=heard, said=said, had_dot=had_dot)


def reset(connection: socket.socket) -> None:
    """Make closing the socket send RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


async def _say(connection: socket.socket, data: bytes) -> int:
    try:
        await asyncio.get_running_loop().sock_sendall(connection, data)
    except ConnectionError:
        return 0
    return len(data)
