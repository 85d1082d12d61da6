"""A client of either kind that notes which of its methods were called, and the methods that a client offers."""

from collections.abc import Iterator
from typing import Any

from integration.client.both import Client

from notifier.client import AsyncNotifier, Notifier

OF_THE_CONNECTION = frozenset({"close", "aclose", "perform", "follow"})
"""Public, and no calls of the API: those go through them."""


class NotingClient(Client):
    """A client and what was asked of it."""

    def __init__(self, inner: Notifier | AsyncNotifier) -> None:
        super().__init__(inner)
        self.noted: set[str] = set()

    async def __call__(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method, and note that it came back."""
        result = await super().__call__(name, *args, **kwargs)
        self.noted.add(name)
        return result


def offered(client: Notifier | AsyncNotifier) -> set[str]:
    """The names of all calls that a client offers; `suppressions.list` is one of a part."""
    own = {name for name in _methods(client) if name not in OF_THE_CONNECTION}
    parts = {name: part for name, part in vars(client).items() if not name.startswith("_")}
    return own | {
        f"{name}.{method}" for name, part in parts.items() for method in _methods(part) if method != "perform"
    }


def _methods(of: object) -> Iterator[str]:
    return (name for name in dir(type(of)) if not name.startswith("_"))
