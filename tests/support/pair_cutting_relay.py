"""A raw relay that cuts its first connection, with two mails on it, at an exact byte; later ones are whole."""

import asyncio
import socket
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from support.cutting_relay import BUFFER, QUEUED, REPLIES, Cut, reset

_END = b"\r\n.\r\n"
_GREETING = b"220 relay.example\r\n"
_EHLO = b"250-relay.example\r\n250 PIPELINING\r\n"
WHOLE = Cut()
SAID = 2 * (sum(map(len, REPLIES.values())) + len(QUEUED))  # bytes of the replies to two mails


@dataclass
class Track:
    """The truth about the mails on a connection, for comparison with the outcomes; bytes after EHLO."""

    heard: int = 0
    said: int = 0
    dots: list[str] = field(default_factory=list)  # senders of the mails that were read to their dot
    begun_at: dict[str, int] = field(default_factory=dict)  # bytes sent, up to the end of its 354
    ended_at: dict[str, int] = field(default_factory=dict)  # and of the reply to its dot

    def permitted(self, sender: str) -> bool:
        """True if the mail's 354 was sent completely."""
        return self.said >= self.begun_at.get(sender, 1 << 30)

    def answered(self, sender: str) -> bool:
        """True if the reply to the mail's dot was sent completely."""
        return self.said >= self.ended_at.get(sender, 1 << 30)


class PairCuttingRelay:
    """Listens on loopback with small buffers; use it as an async context manager."""

    async def __aenter__(self) -> Self:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._listener.settimeout(0)
        self.port: int = self._listener.getsockname()[1]
        self._serving: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())
        self.begin(WHOLE, patient=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._accepting.cancel()
        await asyncio.wait([self._accepting])
        self._listener.close()

    def begin(self, cut: Cut, *, patient: bool) -> None:
        """Cut the next connection there; a patient relay answers the first dot after the next DATA."""
        self.tracks: list[Track] = []
        self._cut, self._patient = cut, patient

    async def quiet(self) -> Counter[str]:
        """Wait until all connections are closed; count how often each mail was read after the first one."""
        while self._serving:
            await asyncio.wait(self._serving)
        return Counter(sender for track in self.tracks[1:] for sender in track.dots)

    async def _accept(self) -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            first = not self.tracks
            self.tracks.append(track := Track())
            task = asyncio.create_task(self._serve(connection, track, first=first))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _serve(self, connection: socket.socket, track: Track, *, first: bool) -> None:
        loop = asyncio.get_running_loop()
        cut = self._cut if first else WHOLE
        try:
            await loop.sock_sendall(connection, _GREETING)
            await loop.sock_recv(connection, BUFFER)
            await loop.sock_sendall(connection, _EHLO)
            await _Talk(connection, track, patient=first and self._patient).run(cut)
        except ConnectionError:
            pass
        if cut.reset and first:
            reset(connection)
        connection.close()


class _Talk:
    """The dialogue after EHLO."""

    def __init__(self, connection: socket.socket, track: Track, *, patient: bool) -> None:
        self._connection, self._track = connection, track
        self._holds = patient
        self._buffer = bytearray()
        self._answer = bytearray()  # the next reply
        self._in_body = False
        self._sender = ""

    async def run(self, cut: Cut) -> None:
        loop, track = asyncio.get_running_loop(), self._track
        while track.said < cut.said and track.heard < cut.heard:
            data = await loop.sock_recv(self._connection, min(BUFFER, cut.heard - track.heard))
            if not data or data.startswith(b"QUIT"):
                return
            track.heard += len(data)
            self._buffer += data
            self._obey()
            if track.heard < cut.heard and not (self._holds and len(track.dots) == 1 and not self._is_followed()):
                said = bytes(self._answer[: cut.said - track.said])
                self._answer.clear()
                await loop.sock_sendall(self._connection, said)
                track.said += len(said)

    def _is_followed(self) -> bool:
        return len(self._track.begun_at) > 1

    def _obey(self) -> None:
        track = self._track
        while (end := self._buffer.find(_END if self._in_body else b"\r\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + (len(_END) if self._in_body else 2)]
            if self._in_body:
                self._answer += QUEUED
                track.dots.append(self._sender)
                track.ended_at[self._sender] = track.said + len(self._answer)
                self._in_body = False
                continue
            self._answer += REPLIES[line[:4]]
            if line.startswith(b"MAIL"):
                self._sender = line[line.index(b"<") + 1 : line.index(b">")].decode()
            elif line == b"DATA":
                track.begun_at[self._sender] = track.said + len(self._answer)
                self._in_body = True
