"""A TCP address in front of PostgreSQL that can go silent like a host without power: no reply, and no packet at all."""

import asyncio
import contextlib
import ctypes
import socket
import struct
from typing import Self

from sqlalchemy import make_url

_SOCKET = ".s.PGSQL.5432"
_CHUNK = 65536
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # one BPF instruction: return 0, keep nothing of the packet


class SilentHost:
    """Listens on a port of loopback, and forwards to the server in the directory of a socket."""

    def __init__(self, url: str) -> None:
        self._target = f"{make_url(url).query['host']}/{_SOCKET}"
        self._carrying: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []  # to clients and to the server
        self._is_silent = False

    @property
    def address(self) -> str:
        """Host and port, as in a URL."""
        return f"127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        await self._server.wait_closed()

    def go_silent(self) -> None:
        """From now on the kernel drops what arrives here, unread and unacknowledged: new connections, too."""
        self._is_silent = True
        for task in self._carrying:
            task.cancel()
        open_sockets = [w.get_extra_info("socket") for w in self._writers if not w.is_closing()]
        for each in (*self._server.sockets, *open_sockets):
            if each.family == socket.AF_INET:
                _drop_all_packets(each)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if self._is_silent:
            _drop_all_packets(writer.get_extra_info("socket"))
            return
        server_reader, server_writer = await asyncio.open_unix_connection(self._target)
        self._writers.append(server_writer)
        for source, target in ((reader, server_writer), (server_reader, writer)):
            task = asyncio.create_task(self._carry(source, target))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(_CHUNK):
                target.write(data)
                await target.drain()
            target.close()


def _drop_all_packets(listening_or_connected: socket.socket) -> None:
    instructions = ctypes.create_string_buffer(_DROP_ALL)
    program = struct.pack("HL", 1, ctypes.addressof(instructions))
    listening_or_connected.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
