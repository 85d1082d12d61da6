"""From a host's name to the addresses that may be connected to: asked once for each try, and every answer checked."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from notifier.errors import NotifierError
from notifier.webhooks.public_address import is_public_address
from notifier.webhooks.webhook_url import WebhookTarget

MAX_ADDRESSES = 4
ResolveHost = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, best first; it raises `OSError` if there are none."""


class AddressRefusedError(NotifierError):
    """The host has an address that is not public."""


class HostResolver:
    """The resolver of this host, in threads of its own: those of the event loop are for the relay's name."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="webhook-names")

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of a host."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host, port)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def close(self) -> None:
        """Wait for nobody: a server of names that does not answer has its own limit."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def resolve_addresses(target: WebhookTarget, resolve: ResolveHost) -> Sequence[str]:
    """Where to connect. One answer that is not public spoils all: nobody says which one a second look would give."""
    found = await resolve(target.host, target.port)
    if not target.trusted and not all(map(is_public_address, found)):
        raise AddressRefusedError
    return found[:MAX_ADDRESSES]


def _look_up(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
