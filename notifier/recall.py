"""What was looked up a moment ago and is not looked up again: the answers of one question, each kept for a second."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from notifier.clock import Clock

REMEMBERED_SECONDS = 1.0
"""An answer is not asked for again for this long, which is also how soon a change is felt."""
REMEMBERED_ANSWERS = 10_000

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
_Kept = OrderedDict[Key, tuple[float, Value | None]]


class Recall(Generic[Key, Value]):
    """Asks `ask` once in so many seconds for each key; that there is nothing is remembered only if asked for.

    `max_misses`: for how many keys it is remembered that there is nothing; those never displace what there is.
    """

    def __init__(
        self,
        ask: Callable[[Key], Awaitable[Value | None]],
        clock: Clock,
        *,
        seconds: float = REMEMBERED_SECONDS,
        max_misses: int = 0,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._seconds = seconds
        self._max_misses = max_misses
        self._remembered: _Kept[Key, Value] = OrderedDict()
        self._missed: _Kept[Key, Value] = OrderedDict()
        self._asking: dict[Key, asyncio.Task[Value | None]] = {}

    async def look_up(self, key: Key) -> Value | None:
        """The answer for this key; a hundred who ask at once are one question, and hear the same error."""
        known = self._remembered.get(key) or self._missed.get(key)
        if known is not None and known[0] > self._clock.monotonic():
            return known[1]
        if key not in self._asking:
            self._asking[key] = asyncio.create_task(self._learn(key))
        return await asyncio.shield(self._asking[key])

    def forget(self, has_changed: Callable[[Key], bool]) -> None:
        """Whoever asks from now on gets the new answer to these, even if the old one is just being read."""
        for kept in (self._remembered, self._missed, self._asking):
            for key in [key for key in kept if has_changed(key)]:
                kept.pop(key)

    async def _learn(self, key: Key) -> Value | None:
        until = self._clock.monotonic() + self._seconds
        try:
            found = await self._ask(key)
        finally:
            is_wanted = self._asking.get(key) is asyncio.current_task()
            if is_wanted:
                del self._asking[key]
        if is_wanted:
            self._remember(key, until, found)
        return found

    def _remember(self, key: Key, until: float, found: Value | None) -> None:
        self._remembered.pop(key, None)
        self._missed.pop(key, None)
        kept, most = (self._missed, self._max_misses) if found is None else (self._remembered, REMEMBERED_ANSWERS)
        kept[key] = (until, found)
        if len(kept) > most:
            kept.popitem(last=False)
