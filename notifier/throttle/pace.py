"""How much of a processor somebody may burn with what comes to nothing, because it was refused or took too long.

The first seconds are nobody's loss, and grow back for whoever makes mistakes at the pace of people. If it does not end,
it gets a small share of a processor, and waits in between: neither a caller's values nor a mistake in a template, nor
somebody who tries to break out of one, keep everybody else waiting.
"""

from collections.abc import Hashable

from notifier.clock import Clock


class Pace:
    """What those who have burnt something have left of `burst`, the seconds that they may burn at once.

    `share` of a processor: so many seconds a second grow back.
    """

    def __init__(self, clock: Clock, *, burst: float, share: float) -> None:
        self._clock = clock
        self._burst = burst
        self._share = share
        self._left: dict[Hashable, float] = {}  # seconds, of those that have not all of them
        self._at = clock.monotonic()

    def burnt(self, who: Hashable, seconds: float) -> bool:
        """So long was for nothing; True if it is now that they must wait, and did not have to before."""
        self._grow()
        before = self._left.get(who, self._burst)
        self._left[who] = before - seconds
        return before >= 0 > before - seconds

    def suspects(self, who: Hashable) -> bool:
        """True if they have burnt something that has not grown back yet."""
        return who in self._left

    def wait(self, who: Hashable) -> float:
        """Seconds until they may go on; 0: now."""
        if not self._left:
            return 0.0
        self._grow()
        return max(0.0, -self._left.get(who, self._burst)) / self._share

    def _grow(self) -> None:
        now = self._clock.monotonic()
        grown = (now - self._at) * self._share
        self._left = {who: left + grown for who, left in self._left.items() if left + grown < self._burst}
        self._at = now
