"""A client that records which of its methods were called, and a list of the calls that a client offers."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from integration.client.both_clients import QUICK, Client

from notifier.client import AsyncNotifier, Notifier

CONNECTION_METHODS = frozenset({"close", "aclose", "perform", "follow"})
"""Public methods that are not calls of the API."""


class RecordingClient(Client):
    """A client and the names of the calls that it made."""

    def __init__(self, kind: type[Notifier | AsyncNotifier], url: str, key: str) -> None:
        super().__init__(kind(url=url, key=key, retries=QUICK))
        self._url = url
        self.calls_made: set[str] = set()

    @asynccontextmanager
    async def use_key(self, key: str) -> AsyncIterator["RecordingClient"]:
        """Yield a client of the same kind with another key, whose calls are recorded here."""
        other = RecordingClient(type(self.inner), self._url, key)
        other.calls_made = self.calls_made
        try:
            yield other
        finally:
            await other.close()

    async def __call__(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method, and record that it returned."""
        result = await super().__call__(name, *args, **kwargs)
        self.calls_made.add(name)
        return result


def list_calls(client: Notifier | AsyncNotifier) -> set[str]:
    """The names of all calls that a client offers; `suppressions.list` is one of a group."""
    own = {name for name in _methods(client) if name not in CONNECTION_METHODS}
    parts = {name: part for name, part in vars(client).items() if not name.startswith("_")}
    return own | {
        f"{name}.{method}" for name, part in parts.items() for method in _methods(part) if method != "perform"
    }


def _methods(of: object) -> Iterator[str]:
    return (name for name in dir(type(of)) if not name.startswith("_"))
