"""A proxy between Notifier and PostgreSQL that can go silent, or cut the connection just after a commit."""

import asyncio
import re
import tempfile
from pathlib import Path
from typing import Self

from sqlalchemy import make_url

from notifier.settings import Settings

_SOCKET = ".s.PGSQL.5432"
_CHANGED = re.compile(rb"(UPDATE|DELETE|INSERT 0) [1-9]\d*\x00")  # tags of CommandComplete
_IDLE = b"Z\x00\x00\x00\x05I"
"""ReadyForQuery outside a transaction: the statement is committed."""


def is_commit(replies: bytes) -> bool:
    """True if the server reports a commit, of a transaction or a single statement."""
    return b"COMMIT\x00" in replies or (_IDLE in replies and _CHANGED.search(replies) is not None)


class CuttingProxy:
    """Listens on its own socket and forwards to the server of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._target = make_url(settings.effective_database_url)
        self._folder = tempfile.TemporaryDirectory(prefix="notifier-proxy-")
        self._writers: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.Future[None]] = set()
        self._cutting = False
        self.silent = False  # replies of the server are kept back
        self.cut_after_commit = False  # the next COMMIT reaches the server; its reply does not come back
        self.cut_reply_to = b""  # a request with these bytes reaches the server; its reply does not come back

    @property
    def url(self) -> str:
        """The URL of the database through this proxy."""
        query = {**self._target.query, "host": self._folder.name}
        return self._target.set(query=query).render_as_string(hide_password=False)

    async def __aenter__(self) -> Self:
        path = Path(self._folder.name) / _SOCKET
        self._server = await asyncio.start_unix_server(self._accept, path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        if self._open:
            await asyncio.wait(self._open)
        await self._server.wait_closed()
        self._folder.cleanup()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = self._target.query["host"]
        server_reader, server_writer = await asyncio.open_unix_connection(f"{host}/{_SOCKET}")
        self._writers |= {writer, server_writer}
        requests = asyncio.create_task(self._requests(reader, server_writer))
        back = asyncio.create_task(self._replies(server_reader, writer))
        self._open |= {requests, back}
        await asyncio.wait((requests, back), return_when=asyncio.FIRST_COMPLETED)
        writer.transport.abort()
        server_writer.transport.abort()
        await asyncio.gather(requests, back, return_exceptions=True)

    async def _requests(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.cut_reply_to and self.cut_reply_to in data:
                self.cut_reply_to, self._cutting = b"", True
            server.write(data)
            await server.drain()

    async def _replies(self, server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await server.read(65536):
            if self._cutting and data.endswith(_IDLE):
                self._cutting = False
                return
            if self.cut_after_commit and is_commit(data):
                self.cut_after_commit = False
                return
            if not self.silent:
                writer.write(data)
                await writer.drain()
