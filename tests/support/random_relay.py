"""A listening relay with a random script for each mail, whatever its connection."""

import asyncio
import random
from types import TracebackType
from typing import Self

from support.random_relay_script import MailScript, RandomRelayProtocol

_GREETING = b"220 relay.example\r\n"
_EHLO = b"250-relay.example\r\n250 PIPELINING\r\n"


class RandomRelay:
    """The relay, used as an async context manager."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.port = 0
        self.scripts: dict[str, MailScript] = {}  # by tag, which is the sender
        self.company: dict[str, list[MailScript]] = {}  # all the mails of its connection, in order
        self.talks: set[RandomRelayConnection] = set()  # connections that are open

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: RandomRelayConnection(self), "127.0.0.1", 0
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self._server.wait_closed()


class RandomRelayConnection(RandomRelayProtocol):
    """One connection."""

    def __init__(self, relay: RandomRelay) -> None:
        super().__init__(relay.rng)
        self._relay = relay
        self._heard_of: list[MailScript] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._relay.talks.add(self)
        self._transport.write(_GREETING)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._relay.talks.discard(self)

    def _script_of(self, line: bytes) -> MailScript:
        tag = line[line.index(b"<") + 1 : line.index(b"@")].decode()
        self._relay.company[tag] = self._heard_of
        self._heard_of.append(self._relay.scripts[tag])
        return self._heard_of[-1]

    def _obey(self, command: str, line: bytes) -> None:
        if command == "EHLO":
            self._transport.write(_EHLO)
        elif command == "QUIT":
            self._transport.close()
        else:
            super()._obey(command, line)
