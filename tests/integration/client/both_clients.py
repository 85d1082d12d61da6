"""One interface to the blocking and the async client, so that each test runs with both."""

import asyncio
from collections.abc import Callable
from typing import Any

from notifier.client import AsyncNotifier, Notifier, RetryPolicy

QUICK = RetryPolicy(tries=4, seconds=10.0, first_wait=0.01, max_wait=0.05)
KEY = "ntf_live_" + "s3cr3t" * 6


class Client:
    """A client of either kind; iterators come back as lists."""

    def __init__(self, inner: Notifier | AsyncNotifier) -> None:
        self.inner = inner

    async def __call__(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method by its name; `suppressions.list` names a method of a group."""
        method: Any = self.inner
        for part in name.split("."):
            method = getattr(method, part)
        if isinstance(self.inner, Notifier):
            return await asyncio.to_thread(_call_and_collect, method, args, kwargs)
        result = method(*args, **kwargs)
        return [item async for item in result] if hasattr(result, "__aiter__") else await result

    async def close(self) -> None:
        """Close the connections."""
        if isinstance(self.inner, Notifier):
            self.inner.close()
        else:
            await self.inner.aclose()


def _call_and_collect(method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    result = method(*args, **kwargs)
    return list(result) if hasattr(result, "__next__") else result


Connect = Callable[..., Client]
"""Creates a client for a URL; other arguments go to the client."""
