"""A webhook receiver on loopback, which records requests and gives scripted replies."""

import asyncio
import contextlib
import json
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from standardwebhooks import Webhook

from support.polling import MAX_SECONDS

OK = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
Reply = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class ReceivedRequest:
    """A received request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The `webhook-id` header."""
        return self.headers["webhook-id"]

    @property
    def json(self) -> dict[str, Any]:
        """The body as JSON."""
        body: dict[str, Any] = json.loads(self.body)
        return body

    def verified(self, secret: str) -> dict[str, Any]:
        """The body, if the reference library accepts the signature."""
        body: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return body


def build_reply(status: str, body: bytes = b"", **fields: str) -> bytes:
    """Build a complete reply."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", *lines, f"Content-Length: {len(body)}", "Connection: close", "", ""])
    return head.encode() + body


async def silence(writer: asyncio.StreamWriter) -> None:
    """Never reply."""
    await writer.wait_closed()


class WebhookReceiver:
    """A listening receiver; a path has scripted replies before the default of success."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.heard: list[ReceivedRequest] = []
        self.connections = 0
        self.port = 0
        self.tls = tls
        self.always: dict[str, Reply] = {}
        self._script: dict[str, deque[Reply]] = defaultdict(deque)
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    def url(self, path: str = "/hook") -> str:
        """A URL of this receiver."""
        return f"http://127.0.0.1:{self.port}{path}"

    def script(self, *replies: Reply, path: str = "/hook") -> None:
        """Give these replies, once each, before the default."""
        self._script[path].extend(replies)

    async def wait_for(self, count: int, *, path: str | None = None) -> list[ReceivedRequest]:
        """Wait until there are so many requests, and return them."""

        def matching() -> list[ReceivedRequest]:
            return [request for request in self.heard if path in {None, request.path}]

        async with asyncio.timeout(MAX_SECONDS), self._arrived:
            await self._arrived.wait_for(lambda: len(matching()) >= count)
        return matching()

    async def start(self) -> "WebhookReceiver":
        """Listen, on the previous port if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Refuse new connections, and cut the open ones."""
        if self._server is not None:
            self._server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
                await self._answer(reader, writer)
        finally:
            self._serving.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        path = first.split(" ")[1]
        script = self._script[path]
        said = script.popleft() if script else self.always.get(path, OK)
        async with self._arrived:
            self.heard.append(ReceivedRequest(path, headers, body))
            self._arrived.notify_all()
        if isinstance(said, bytes):
            writer.write(said)
            await writer.drain()
            writer.write_eof() if writer.can_write_eof() else None
            await reader.read()
        else:
            await said(writer)


@contextlib.asynccontextmanager
async def run_receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[WebhookReceiver]:
    """Run a receiver until the end of the block."""
    started = await WebhookReceiver(tls).start()
    try:
        yield started
    finally:
        await started.stop()
