"""A cache whose values live for a second, with single-flight loading. Misses are cached only on request."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from notifier.clock import Clock

REMEMBERED_SECONDS = 1.0
"""How long a value is used. A change of the source takes effect after this time at the latest."""
REMEMBERED_ANSWERS = 10_000

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
_Kept = OrderedDict[Key, tuple[float, Value | None]]


class Recall(Generic[Key, Value]):
    """Calls `load` at most once in `seconds` for each key.

    `max_misses`: how many keys without a value are cached; they never displace values. 0: misses are not cached.
    """

    def __init__(
        self,
        load: Callable[[Key], Awaitable[Value | None]],
        clock: Clock,
        *,
        seconds: float = REMEMBERED_SECONDS,
        max_misses: int = 0,
    ) -> None:
        self._ask = load
        self._clock = clock
        self._seconds = seconds
        self._max_misses = max_misses
        self._remembered: _Kept[Key, Value] = OrderedDict()
        self._missed: _Kept[Key, Value] = OrderedDict()
        self._asking: dict[Key, asyncio.Task[Value | None]] = {}

    async def look_up(self, key: Key) -> Value | None:
        """Return the value of a key, or None. Concurrent calls share one load, and its error."""
        cached = self._remembered.get(key) or self._missed.get(key)
        if cached is not None and cached[0] > self._clock.monotonic():
            return cached[1]
        if key not in self._asking:
            self._asking[key] = asyncio.create_task(self._learn(key))
        return await asyncio.shield(self._asking[key])

    def forget(self, has_changed: Callable[[Key], bool]) -> None:
        """Drop the keys that have changed. A load in progress is not used for calls that come later."""
        for cache in (self._remembered, self._missed, self._asking):
            for key in [key for key in cache if has_changed(key)]:
                cache.pop(key)

    async def _learn(self, key: Key) -> Value | None:
        until = self._clock.monotonic() + self._seconds
        try:
            value = await self._ask(key)
        finally:
            is_current = self._asking.get(key) is asyncio.current_task()  # False if the key was dropped meanwhile
            if is_current:
                del self._asking[key]
        if is_current:
            self._remember(key, until, value)
        return value

    def _remember(self, key: Key, until: float, value: Value | None) -> None:
        self._remembered.pop(key, None)
        self._missed.pop(key, None)
        is_miss = value is None
        cache, limit = (self._missed, self._max_misses) if is_miss else (self._remembered, REMEMBERED_ANSWERS)
        cache[key] = (until, value)
        if len(cache) > limit:
            cache.popitem(last=False)
