"""How much of a processor somebody may burn with what comes to nothing, because it was refused or took too long.

The first seconds are nobody's loss, and grow back for whoever makes mistakes at the pace of people. If it does not end,
it gets a small share of a processor, and waits in between: neither a caller's values nor a mistake in a template, nor
somebody who tries to break out of one, keep everybody else waiting.
"""

from collections.abc import Hashable

from notifier.clock import Clock

MEMORY_SECONDS = 600.0
"""How long somebody whose work was costly is remembered for it."""
MIN_COSTLY_TIMES = 2
"""How often it has to be within that: once may be the machine's doing."""


class CostTracker:
    """Whose work is costly though it comes to something: it is done behind everybody else's, and has a share.

    What takes no longer than `free` seconds costs nothing.
    """

    def __init__(self, clock: Clock, *, free: float, burst: float, share: float) -> None:
        self._clock = clock
        self._free = free
        self._pace = CpuBudget(clock, burst=burst, share=share)
        self._seen: dict[Hashable, tuple[float, int]] = {}  # until when they are remembered, and how often it was

    def add(self, who: Hashable, seconds: float) -> None:
        """So long has it taken."""
        if seconds > self._free:
            now = self._clock.monotonic()
            self._seen = {one: seen for one, seen in self._seen.items() if seen[0] > now}
            self._seen[who] = now + MEMORY_SECONDS, self._seen.get(who, (0.0, 0))[1] + 1
            self._pace.charge(who, seconds)

    def is_costly(self, who: Hashable) -> bool:
        """Whether work of theirs was costly of late."""
        until, times = self._seen.get(who, (0.0, 0))
        return times >= MIN_COSTLY_TIMES and until > self._clock.monotonic()

    def get_wait(self, who: Hashable) -> float:
        """Seconds until they may go on; 0: now."""
        return self._pace.get_wait(who)


class CpuBudget:
    """What those who have burnt something have left of `burst`, the seconds that they may burn at once.

    `share` of a processor: so many seconds a second grow back.
    """

    def __init__(self, clock: Clock, *, burst: float, share: float) -> None:
        self._clock = clock
        self._burst = burst
        self._share = share
        self._left: dict[Hashable, float] = {}  # seconds, of those that have not all of them
        self._at = clock.monotonic()

    def charge(self, who: Hashable, seconds: float) -> bool:
        """So long was for nothing; True if it is now that they must wait, and did not have to before."""
        self._grow()
        before = self._left.get(who, self._burst)
        self._left[who] = before - seconds
        return before >= 0 > before - seconds

    def has_debt(self, who: Hashable) -> bool:
        """True if they have burnt something that has not grown back yet."""
        return who in self._left

    def get_wait(self, who: Hashable) -> float:
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
