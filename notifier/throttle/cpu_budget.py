"""CPU budgets: how much processor time a person or key may waste on work that is refused or takes too long.

The first seconds are free and grow back, so people who make mistakes never wait. Whoever goes on gets a small share of
a processor and waits in between. So bad values, a mistake in a template or an attack on the sandbox delay nobody else.
"""

from collections.abc import Hashable

from notifier.clock import Clock

MEMORY_SECONDS = 600.0
"""How long costly work is remembered."""
MIN_COSTLY_TIMES = 2
"""How often work must be costly within that time: once may be the machine's fault."""


class CostTracker:
    """Whose work is costly although it succeeds: it is done after everybody else's, and has a CPU budget.

    Work of at most `free` seconds costs nothing.
    """

    def __init__(self, clock: Clock, *, free: float, burst: float, share: float) -> None:
        self._clock = clock
        self._free = free
        self._budget = CpuBudget(clock, burst=burst, share=share)
        self._seen: dict[Hashable, tuple[float, int]] = {}  # remembered until when, and how often it was costly

    def add(self, who: Hashable, seconds: float) -> None:
        """Record how long a piece of work took."""
        if seconds > self._free:
            now = self._clock.monotonic()
            self._seen = {key: seen for key, seen in self._seen.items() if seen[0] > now}
            self._seen[who] = now + MEMORY_SECONDS, self._seen.get(who, (0.0, 0))[1] + 1
            self._budget.charge(who, seconds)

    def is_costly(self, who: Hashable) -> bool:
        """Return True if their work was costly lately."""
        until, times = self._seen.get(who, (0.0, 0))
        return times >= MIN_COSTLY_TIMES and until > self._clock.monotonic()

    def get_wait(self, who: Hashable) -> float:
        """Return the seconds until they may go on; 0 now."""
        return self._budget.get_wait(who)


class CpuBudget:
    """The CPU seconds that each has left of `burst`, the seconds that may be wasted at once.

    `share` is the part of a processor that grows back: seconds per second.
    """

    def __init__(self, clock: Clock, *, burst: float, share: float) -> None:
        self._clock = clock
        self._burst = burst
        self._share = share
        self._seconds: dict[Hashable, float] = {}  # seconds, of those below `burst`
        self._updated_at = clock.monotonic()

    def charge(self, who: Hashable, seconds: float) -> bool:
        """Charge wasted seconds; return True if they must wait from now on, and did not have to before."""
        self._grow()
        before = self._seconds.get(who, self._burst)
        self._seconds[who] = before - seconds
        return before >= 0 > before - seconds

    def has_debt(self, who: Hashable) -> bool:
        """Return True while wasted seconds have not grown back yet."""
        return who in self._seconds

    def get_wait(self, who: Hashable) -> float:
        """Return the seconds until they may go on; 0 now."""
        if not self._seconds:
            return 0.0
        self._grow()
        return max(0.0, -self._seconds.get(who, self._burst)) / self._share

    def _grow(self) -> None:
        now = self._clock.monotonic()
        grown = (now - self._updated_at) * self._share
        self._seconds = {who: rest + grown for who, rest in self._seconds.items() if rest + grown < self._burst}
        self._updated_at = now
