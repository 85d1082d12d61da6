"""A proxy between one process and PostgreSQL that delays some of the traffic."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Self

from sqlalchemy import make_url
from support.cutting_proxy import is_commit

_SOCKET = ".s.PGSQL.5432"
_CHUNK = 65536


class Held(StrEnum):
    """The traffic that is delayed."""

    REQUESTS = "requests"
    REPLIES = "replies"
    COMMITS = "commits"  # the replies to commits, and what comes after them on the same connection


class Wire:
    """An async context manager that listens on its own socket and forwards to the server of the URL."""

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._folder = tempfile.TemporaryDirectory(prefix="notifier-wire-")
        self._carrying: set[asyncio.Task[None]] = set()
        self._held: Held | None = None
        self._since: tuple[bytes, Held, asyncio.Event] | None = None
        self._flows = asyncio.Event()

    @property
    def url(self) -> str:
        """The database's URL through this proxy."""
        query = {**self._target.query, "host": self._folder.name}
        return self._target.set(query=query).render_as_string(hide_password=False)

    @contextmanager
    def held(self, what: Held, *, since: bytes = b"") -> Iterator[asyncio.Event]:
        """Delay the traffic of the block until its end; with `since`, from the first request that contains it."""
        began = asyncio.Event()
        self._since = since, what, began
        if not since:
            self._hold(b"")
        try:
            yield began
        finally:
            self._held = self._since = None
            self._flows.set()

    def _hold(self, request: bytes) -> None:
        if self._since is not None and self._since[0] in request:
            _, self._held, began = self._since
            self._since = None
            self._flows.clear()
            began.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._accept, Path(self._folder.name) / _SOCKET)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        await self._server.wait_closed()
        self._folder.cleanup()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server, back = await asyncio.open_unix_connection(f"{self._target.query['host']}/{_SOCKET}")
        ways = [
            asyncio.create_task(self._carry(reader, back, are_replies=False)),
            asyncio.create_task(self._carry(server, writer, are_replies=True)),
        ]
        self._carrying.update(ways)
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in (writer, back):
                end.transport.abort()
            for way in ways:
                way.cancel()
            self._carrying.difference_update(ways)
            await asyncio.gather(*ways, return_exceptions=True)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, are_replies: bool) -> None:
        while data := await source.read(_CHUNK):
            if not are_replies:
                self._hold(data)
            if self._waits(data, are_replies=are_replies):
                await self._flows.wait()
            target.write(data)
            await target.drain()

    def _waits(self, data: bytes, *, are_replies: bool) -> bool:
        match self._held:
            case Held.REQUESTS:
                return not are_replies
            case Held.REPLIES:
                return are_replies
            case Held.COMMITS:
                return are_replies and is_commit(data)
        return False
