"""A cache whose values live for a second, with single-flight loading. Misses are cached only on request."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from notifier.clock import Clock

DEFAULT_TTL_SECONDS = 1.0
"""Seconds for which a value is used. A change takes effect after this time at the latest."""
MAX_CACHED_VALUES = 10_000

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
_CachedValues = OrderedDict[Key, tuple[float, Value | None]]


class TtlCache(Generic[Key, Value]):
    """Calls `load` at most once in `seconds` for each key.

    `max_misses`: how many keys without a value are cached; they never displace values. 0: misses are not cached.
    """

    def __init__(
        self,
        load: Callable[[Key], Awaitable[Value | None]],
        clock: Clock,
        *,
        seconds: float = DEFAULT_TTL_SECONDS,
        max_misses: int = 0,
    ) -> None:
        self._load = load
        self._clock = clock
        self._ttl_seconds = seconds
        self._max_misses = max_misses
        self._values: _CachedValues[Key, Value] = OrderedDict()
        self._misses: _CachedValues[Key, Value] = OrderedDict()
        self._loading: dict[Key, asyncio.Task[Value | None]] = {}

    async def get(self, key: Key) -> Value | None:
        """Return the value of a key, or None. Concurrent calls share one load, and its error."""
        cached = self._values.get(key) or self._misses.get(key)
        if cached is not None and cached[0] > self._clock.monotonic():
            return cached[1]
        if key not in self._loading:
            self._loading[key] = asyncio.create_task(self._load_value(key))
        return await asyncio.shield(self._loading[key])

    def invalidate(self, has_changed: Callable[[Key], bool]) -> None:
        """Drop the keys that have changed. A load in progress is not used for calls that come later."""
        for cache in (self._values, self._misses, self._loading):
            for key in [key for key in cache if has_changed(key)]:
                cache.pop(key)

    async def _load_value(self, key: Key) -> Value | None:
        until = self._clock.monotonic() + self._ttl_seconds
        try:
            value = await self._load(key)
        finally:
            is_current = self._loading.get(key) is asyncio.current_task()  # False if the key was invalidated meanwhile
            if is_current:
                del self._loading[key]
        if is_current:
            self._store(key, until, value)
        return value

    def _store(self, key: Key, until: float, value: Value | None) -> None:
        self._values.pop(key, None)
        self._misses.pop(key, None)
        is_miss = value is None
        cache, limit = (self._misses, self._max_misses) if is_miss else (self._values, MAX_CACHED_VALUES)
        cache[key] = (until, value)
        if len(cache) > limit:
            cache.popitem(last=False)
