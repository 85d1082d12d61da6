"""Connects to the host of a checked URL: its name is resolved once, and only a public address is connected to.

Webhooks and feeds share it. So no URL of a service leads into our own network, and a name server cannot change the
address between the check and the connection.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from notifier.errors import NotifierError
from notifier.trusted_certificates import LazyTlsContext
from notifier.webhooks.webhook_url import WebhookTarget, is_public_address

MAX_HEAD_BYTES = 32 * 1024
MAX_ADDRESSES = 4
"""Addresses of a host that are tried."""

ResolveHost = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host, best first; raises `OSError` if there are none."""


class AddressRefusedError(NotifierError):
    """The host has an address that is not public."""


class HostResolver:
    """The resolver of the operating system, in threads of its own: the event loop's threads resolve the relay."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="host-names")

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, each once."""
        lookup = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        results = await asyncio.get_running_loop().run_in_executor(self._threads, lookup)
        return list(dict.fromkeys(str(address[0]) for *_, address in results))

    def close(self) -> None:
        """Close the threads without waiting for a name server that does not answer."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def resolve_addresses(target: WebhookTarget, resolve: ResolveHost) -> Sequence[str]:
    """Resolve a target. Raises `AddressRefusedError` if any address is not public: the next lookup may put it first."""
    resolved = await resolve(target.host, target.port)
    if not target.trusted and not all(map(is_public_address, resolved)):
        raise AddressRefusedError
    return resolved[:MAX_ADDRESSES]


async def open_pinned_connection(
    target: WebhookTarget, resolve: ResolveHost, tls: LazyTlsContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to one of the checked addresses. The name is sent, but never resolved again.

    Raises `AddressRefusedError`, `OSError` if no address can be connected to, and `ConfigurationError` if the file of
    trusted certificates cannot be used.
    """
    error: OSError = OSError("no address")
    secure = {"ssl": await tls.get_context(), "server_hostname": target.host} if target.secure else {}
    for address in await resolve_addresses(target, resolve):
        try:
            return await asyncio.open_connection(address, target.port, limit=MAX_HEAD_BYTES, **secure)  # type: ignore[arg-type]
        except ssl.SSLError:
            raise
        except OSError as failed:
            error = failed
    raise error
