"""A TLS proxy in front of the tests' PostgreSQL, which has no TLS of its own."""

import asyncio
import ssl
from typing import Any, Self

from sqlalchemy import make_url

_TLS_REQUEST = bytes.fromhex("0000000804d2162f")  # PostgreSQL, "SSL Session Encryption"


class TlsProxy:
    """A TCP port of a PostgreSQL server, with a certificate or refusing TLS."""

    def __init__(self, url: str, context: ssl.SSLContext | None, *, demands_tls: bool = False) -> None:
        self._target = make_url(url)
        self._context = context
        self._demands_tls = demands_tls
        self.encrypted: list[bool] = []  # one for each connection that got this far
        self._open: set[asyncio.Task[None]] = set()

    def url(self, host: str, parameters: str) -> str:
        """The URL of the database through this port."""
        return f"postgresql://{self._target.username}@{host}:{self.port}/{self._target.database}?{parameters}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has refused the certificate
        finally:
            writer.transport.abort()
            self._open.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(8)
        encrypted = first == _TLS_REQUEST and self._context is not None
        if first == _TLS_REQUEST:
            writer.write(b"S" if encrypted else b"N")
            await writer.drain()
            first = b""
            if self._context is not None:
                await writer.start_tls(self._context)
        if self._demands_tls and not encrypted:
            return
        self.encrypted.append(encrypted)
        host, port = self._target.query.get("host"), self._target.port or 5432
        opening: Any = (
            asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
            if host
            else asyncio.open_connection(self._target.host, port)
        )
        server_reader, server_writer = await opening
        server_writer.write(first)
        try:
            await asyncio.gather(_copy(reader, server_writer), _copy(server_reader, writer))
        finally:
            server_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
