"""An SMTP server that accepts every mail, stores none, and records when it answered. Also runs as a process."""

import asyncio
import signal
import time
from collections import deque
from types import TracebackType
from typing import Self

_GREETING = b"220 sink.example ESMTP\r\n"
_EHLO = b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
_TOO_MANY = b"421 4.7.0 sink.example too many connections from this client\r\n"
_OK = b"250 2.0.0 ok\r\n"
_REPLIES = {
    b"HELO": b"250 sink.example\r\n",
    b"MAIL": _OK,
    b"RCPT": _OK,
    b"RSET": _OK,
    b"NOOP": _OK,
    b"DATA": b"354 go ahead\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}
_END = b"\r\n.\r\n"
_KEPT_SIZES = 1000
_KEPT_BODIES = 20


class Sink:
    """Use it as an async context manager; `port` is known inside."""

    def __init__(
        self, *, pipelining: bool = True, max_connections: int | None = None, answer_seconds: float = 0.0
    ) -> None:
        self.port = 0
        self.max_connections = max_connections  # maximum connections of a client; one more is refused with 421
        self.answer_seconds = answer_seconds  # from the final dot to its reply
        self.open = 0  # connections
        self.refused = 0  # connections
        self.ehlo = _EHLO if pipelining else _EHLO.replace(b"250-PIPELINING\r\n", b"")
        self.accepted = 0  # mails
        self.last_accepted_at = 0.0  # `time.perf_counter` of the last one
        self.sizes: deque[int] = deque(maxlen=_KEPT_SIZES)  # bytes of the last mails, as on the wire
        self.bodies: deque[bytes] = deque(maxlen=_KEPT_BODIES)
        self._expected: dict[str, asyncio.Future[float]] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=1000)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    def expect(self, recipient: str) -> asyncio.Future[float]:
        """Return a future: the time (`time.perf_counter`) of the 250 for the recipient's mail."""
        self._expected[recipient] = future = asyncio.get_running_loop().create_future()
        return future

    def answered(self, recipient: str, body: bytes, moment: float) -> None:
        """Record a mail; the connection calls this after it wrote the reply."""
        self.accepted += 1
        self.last_accepted_at = moment
        self.sizes.append(len(body))
        self.bodies.append(body)
        future = self._expected.pop(recipient, None)
        if future is not None and not future.done():
            future.set_result(moment)


class _Connection(asyncio.Protocol):
    """One client; commands may come one at a time or pipelined."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._in_body = False
        self._recipient = ""
        self._open: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._open = transport
        limit = self._sink.max_connections
        self._is_refused = limit is not None and self._sink.open >= limit
        self._sink.open += 1
        if self._is_refused:
            self._sink.refused += 1
            transport.write(_TOO_MANY)
            transport.close()
        else:
            transport.write(_GREETING)

    def connection_lost(self, _: Exception | None) -> None:
        self._sink.open -= 1

    def data_received(self, data: bytes) -> None:
        searched = max(0, len(self._buffer) - len(_END))
        self._buffer += data
        replies: list[bytes] = []
        taken: list[tuple[str, bytes]] = []
        while True:
            end = self._buffer.find(_END, searched) if self._in_body else self._buffer.find(b"\r\n")
            if end < 0:
                break
            if self._in_body:
                taken.append((self._recipient, bytes(self._buffer[2:end])))
                replies.append(_OK)
                del self._buffer[: end + len(_END)]
                self._in_body = False
            else:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 2]
                replies.append(self._obey(line))
            searched = 0
        if taken and self._sink.answer_seconds:
            asyncio.get_running_loop().call_later(self._sink.answer_seconds, self._answer, replies, taken)
        else:
            self._answer(replies, taken)

    def _answer(self, replies: list[bytes], taken: list[tuple[str, bytes]]) -> None:
        """Write replies, and record the accepted mails."""
        assert self._open is not None
        if replies and not self._open.is_closing():
            self._open.write(b"".join(replies))
        moment = time.perf_counter()
        for recipient, body in taken:
            self._sink.answered(recipient, body, moment)
        if replies and replies[-1].startswith(b"221"):
            self._open.close()

    def _obey(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"RCPT":
            self._recipient = line.partition(b"<")[2].partition(b">")[0].decode()
        elif verb == b"DATA":
            self._in_body = True
            self._buffer[:0] = b"\r\n"  # so that a body without lines ends like any other
        if verb == b"EHLO":
            return self._sink.ehlo
        return _REPLIES.get(verb, b"502 5.5.1 unknown command\r\n")


async def main() -> None:
    """Accept mail until SIGTERM or SIGINT, on a port that is printed."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Sink() as sink:
        print(sink.port, flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
