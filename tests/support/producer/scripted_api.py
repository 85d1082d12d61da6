"""An HTTP server in place of Notifier's API: accepts each idempotency key once, or replies as scripted."""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

from support.polling import MAX_SECONDS


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A scripted reply."""

    status: int = 202
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None  # as JSON; bytes go out as they are
    drop: bool = False  # close the connection instead
    hang: bool = False  # send no reply
    taken: bool = False  # but accept the notifications first


def build_problem(status: int, code: str, **headers: str) -> Reply:
    """Build a problem document."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, body={"code": code, "errors": []})


Rule = Callable[[list[dict[str, Any]]], Reply | None]


class ScriptedApi:
    """The server, used as an async context manager."""

    def __init__(self) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self.authorizations: set[str] = set()
        self.accepted: dict[str, str] = {}  # key → id of the notification
        self.arrived = asyncio.Condition()
        self.errors: dict[str, str] = {}  # recipient → code of its refusal
        self.script: deque[Reply] = deque()
        self.rule: Rule = lambda _items: None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 24)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def keys(self) -> list[str]:
        """The idempotency keys of all requests."""
        return [item["idempotency_key"] for items in self.requests for item in items]

    async def wait_for(self, requests: int) -> None:
        """Wait until so many requests have arrived."""
        async with asyncio.timeout(MAX_SECONDS), self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= requests)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        assert lines[0] == "POST /v1/notifications/batch HTTP/1.1"
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        self.authorizations.add(headers["authorization"])
        request = json.loads(await reader.readexactly(int(headers["content-length"])))
        assert request["on_error"] == "skip_invalid"
        items = request["notifications"]
        scripted = self.script.popleft() if self.script else self.rule(items)
        results = (
            [] if scripted and not scripted.taken else [self._take(index, item) for index, item in enumerate(items)]
        )
        async with self.arrived:
            self.requests.append(items)
            self.arrived.notify_all()
        reply = scripted or Reply(body={"results": results})
        if reply.hang:
            await reader.read()
        if reply.hang or reply.drop:
            return False
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        extra = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
        head = f"HTTP/1.1 {reply.status} Said\r\nContent-Length: {len(content)}\r\n{extra}\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        return True

    def _take(self, index: int, item: dict[str, Any]) -> dict[str, Any]:
        if code := self.errors.get(item["to"]):
            fault = {"pointer": f"/notifications/{index}/to", "code": code, "detail": "no"}
            return {"index": index, "error": {"code": code, "errors": [fault]}}
        key = item["idempotency_key"]
        replayed = key in self.accepted
        id_ = self.accepted.setdefault(key, str(uuid4()))
        return {
            "index": index,
            "id": id_,
            "status": "queued",
            "created_at": "2026-11-24T12:00:00Z",
            "replayed": replayed,
        }
