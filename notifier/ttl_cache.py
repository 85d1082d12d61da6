"""What was looked up a moment ago and is not looked up again: the answers of one question, each kept for a second."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from notifier.clock import Clock

DEFAULT_TTL_SECONDS = 1.0
"""An answer is not asked for again for this long, which is also how soon a change is felt."""
MAX_CACHED_VALUES = 10_000

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
_CachedValues = OrderedDict[Key, tuple[float, Value | None]]


class TtlCache(Generic[Key, Value]):
    """Asks `ask` once in so many seconds for each key; that there is nothing is remembered only if asked for.

    `max_misses`: for how many keys it is remembered that there is nothing; those never displace what there is.
    """

    def __init__(
        self,
        ask: Callable[[Key], Awaitable[Value | None]],
        clock: Clock,
        *,
        seconds: float = DEFAULT_TTL_SECONDS,
        max_misses: int = 0,
    ) -> None:
        self._load = ask
        self._clock = clock
        self._ttl_seconds = seconds
        self._max_misses = max_misses
        self._values: _CachedValues[Key, Value] = OrderedDict()
        self._misses: _CachedValues[Key, Value] = OrderedDict()
        self._loading: dict[Key, asyncio.Task[Value | None]] = {}

    async def get(self, key: Key) -> Value | None:
        """The answer for this key; a hundred who ask at once are one question, and hear the same error."""
        known = self._values.get(key) or self._misses.get(key)
        if known is not None and known[0] > self._clock.monotonic():
            return known[1]
        if key not in self._loading:
            self._loading[key] = asyncio.create_task(self._load_value(key))
        return await asyncio.shield(self._loading[key])

    def invalidate(self, has_changed: Callable[[Key], bool]) -> None:
        """Whoever asks from now on gets the new answer to these, even if the old one is just being read."""
        for kept in (self._values, self._misses, self._loading):
            for key in [key for key in kept if has_changed(key)]:
                kept.pop(key)

    async def _load_value(self, key: Key) -> Value | None:
        until = self._clock.monotonic() + self._ttl_seconds
        try:
            found = await self._load(key)
        finally:
            is_wanted = self._loading.get(key) is asyncio.current_task()
            if is_wanted:
                del self._loading[key]
        if is_wanted:
            self._store(key, until, found)
        return found

    def _store(self, key: Key, until: float, found: Value | None) -> None:
        self._values.pop(key, None)
        self._misses.pop(key, None)
        kept, most = (self._misses, self._max_misses) if found is None else (self._values, MAX_CACHED_VALUES)
        kept[key] = (until, found)
        if len(kept) > most:
            kept.popitem(last=False)
