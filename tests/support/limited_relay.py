"""A relay with a limit of connections, which refuses one more in a way that the test chooses."""

import asyncio
import contextlib
from dataclasses import dataclass

from support.scripted_relay import DROP, ScriptedRelay

RESET = "reset"
"""Cut the connection with RST."""


@dataclass
class LimitedRelay(ScriptedRelay):
    """A scripted relay with a limit of connections; None: no limit."""

    limit: int | None = None
    refusal: str = "421 4.7.0 relay.example too many connections"  # a greeting, EHLO and a reply to it, DROP or RESET
    refused: int = 0  # connections
    most: int = 0  # maximum number of connections at the same time

    async def wait_for_refusals(self, count: int) -> None:
        """Wait until that many connections were refused."""
        await self._until(lambda: self.refused >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.limit is None or len(self._writers) < self.limit:
            self.most = max(self.most, len(self._writers) + 1)
            await super()._serve(reader, writer)
            return
        with contextlib.suppress(ConnectionError):
            await self._refuse(reader, writer)
        async with self._arrived:
            self.refused += 1
            self._arrived.notify_all()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting, _, reply = self.refusal.partition("EHLO ")
        if self.refusal == RESET:
            writer.transport.abort()
        elif reply:
            writer.write(b"220 relay.example ESMTP\r\n")
            await reader.readline()
            writer.write(reply.encode() + b"\r\n")
        elif self.refusal != DROP:
            writer.write(greeting.encode() + b"\r\n")
        writer.close()
