"""Computes how long the forwarder waits, and how many rows it sends at once."""

from collections.abc import Callable
from datetime import timedelta

SHORTEST_IDLE, LONGEST_IDLE = 0.05, 0.5
FIRST_PAUSE = 0.25
LONGEST_OBEYED = 300.0
"""Seconds; a longer Retry-After is cut to this."""
FIRST_DELAY, LONGEST_DELAY = 1.0, 600.0
_MAX_DOUBLINGS = 30


class Pace:
    """Waits in seconds, with jitter so that many forwarders do not send at the same moment."""

    def __init__(self, *, max_window: int, longest_pause: float, chance: Callable[[], float]) -> None:
        self._max_window = max_window
        self._longest_pause = longest_pause
        self._chance = chance  # in [0, 1)
        self._idle = SHORTEST_IDLE
        self._failures = 0
        self.window = max_window  # rows of the next request

    @property
    def is_failing(self) -> bool:
        """True if the last request failed."""
        return self._failures > 0

    def found_nothing(self) -> float:
        """The wait until the next check of an empty table: 50 ms, doubled each time up to 500 ms."""
        wait, self._idle = self._idle, min(LONGEST_IDLE, self._idle * 2)
        return self._add_jitter(wait)

    def woken(self) -> None:
        """Start again with the shortest wait."""
        self._idle = SHORTEST_IDLE

    def succeeded(self) -> None:
        """The request succeeded; the next may have twice as many rows."""
        self._idle, self._failures = SHORTEST_IDLE, 0
        self.window = min(self._max_window, self.window * 2)

    def failed(self, retry_after: float | None = None) -> float:
        """The wait after a failed request; the next one has a single row.

        So an unavailable API is sent one row, and a row that makes every request fail ends up alone.
        """
        self.window = 1
        wait = min(self._longest_pause, FIRST_PAUSE * 2.0 ** min(self._failures, _MAX_DOUBLINGS))
        self._failures += 1
        if retry_after is None:
            return self._add_jitter(wait)
        requested = min(retry_after, LONGEST_OBEYED)
        return max(requested, wait / 2) * (1 + self._chance() / 4)  # never earlier than requested

    def delay_of(self, tries: int) -> timedelta:
        """The wait of a row after this many failed requests of its own."""
        wait = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(tries - 1, _MAX_DOUBLINGS))
        return timedelta(seconds=self._add_jitter(wait))

    def _add_jitter(self, wait: float) -> float:
        return wait * (0.75 + self._chance() / 4)
