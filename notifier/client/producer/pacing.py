"""Computes how long the forwarder waits, and how many rows it sends at once."""

from collections.abc import Callable
from datetime import timedelta

MIN_IDLE, MAX_IDLE = 0.05, 0.5
FIRST_PAUSE = 0.25
MAX_RETRY_AFTER = 300.0
"""Seconds; a longer Retry-After is cut to this."""
FIRST_DELAY, MAX_DELAY = 1.0, 600.0
_MAX_DOUBLINGS = 30


class Pace:
    """Waits in seconds, with jitter so that many forwarders do not send at the same moment."""

    def __init__(self, *, max_window: int, max_pause: float, chance: Callable[[], float]) -> None:
        self._max_window = max_window
        self._max_pause = max_pause
        self._chance = chance  # in [0, 1)
        self._idle = MIN_IDLE
        self._failures = 0
        self.window = max_window  # rows of the next request

    @property
    def is_failing(self) -> bool:
        """True if the last request failed."""
        return self._failures > 0

    def compute_idle_wait(self) -> float:
        """The wait until the next check of an empty table: 50 ms, doubled each time up to 500 ms."""
        wait, self._idle = self._idle, min(MAX_IDLE, self._idle * 2)
        return self._add_jitter(wait)

    def reset_idle(self) -> None:
        """Start again with the shortest wait."""
        self._idle = MIN_IDLE

    def record_success(self) -> None:
        """The request succeeded; the next may have twice as many rows."""
        self._idle, self._failures = MIN_IDLE, 0
        self.window = min(self._max_window, self.window * 2)

    def record_failure(self, retry_after: float | None = None) -> float:
        """The wait after a failed request; the next one has a single row.

        So an unavailable API is sent one row, and a row that makes every request fail ends up alone.
        """
        self.window = 1
        wait = min(self._max_pause, FIRST_PAUSE * 2.0 ** min(self._failures, _MAX_DOUBLINGS))
        self._failures += 1
        if retry_after is None:
            return self._add_jitter(wait)
        requested = min(retry_after, MAX_RETRY_AFTER)
        return max(requested, wait / 2) * (1 + self._chance() / 4)  # never earlier than requested

    def compute_row_delay(self, tries: int) -> timedelta:
        """The wait of a row after this many failed requests of its own."""
        wait = min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(tries - 1, _MAX_DOUBLINGS))
        return timedelta(seconds=self._add_jitter(wait))

    def _add_jitter(self, wait: float) -> float:
        return wait * (0.75 + self._chance() / 4)
