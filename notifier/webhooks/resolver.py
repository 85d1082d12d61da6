"""Resolves the host of a webhook, once for each attempt, and checks every address."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from notifier.errors import NotifierError
from notifier.webhooks.public_address import is_public_address
from notifier.webhooks.webhook_url import WebhookTarget

MAX_ADDRESSES = 4
ResolveHost = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host, best first; raises `OSError` if there are none."""


class AddressRefusedError(NotifierError):
    """The host has an address that is not public."""


class HostResolver:
    """The resolver of the operating system, in its own threads: those of the event loop resolve the relay."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="webhook-names")

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, each once."""
        lookup = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        results = await asyncio.get_running_loop().run_in_executor(self._threads, lookup)
        return list(dict.fromkeys(str(address[0]) for *_, address in results))

    def close(self) -> None:
        """Close the threads without waiting for a name server that does not answer."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def resolve_addresses(target: WebhookTarget, resolve: ResolveHost) -> Sequence[str]:
    """Resolve a target. Raises `AddressRefusedError` if any address is not public: a next lookup could put it first."""
    resolved = await resolve(target.host, target.port)
    if not target.trusted and not all(map(is_public_address, resolved)):
        raise AddressRefusedError
    return resolved[:MAX_ADDRESSES]
