"""How fast the forwarder goes: how long it waits, and how many rows it dares to hand over at once. It only computes."""

from collections.abc import Callable
from datetime import timedelta

MIN_IDLE, MAX_IDLE = 0.05, 0.5
FIRST_PAUSE = 0.25
MAX_RETRY_AFTER = 300.0
"""Seconds; no Retry-After keeps the forwarder away for longer."""
FIRST_DELAY, MAX_DELAY = 1.0, 600.0
_MOST_DOUBLINGS = 30


class Pace:
    """Waits in seconds, spread so that many forwarders do not come at the same moment."""

    def __init__(self, *, most: int, longest_pause: float, chance: Callable[[], float]) -> None:
        self._most = most
        self._longest_pause = longest_pause
        self._chance = chance  # in [0, 1)
        self._idle = MIN_IDLE
        self._failures = 0
        self.window = most  # rows of the next request

    @property
    def is_failing(self) -> bool:
        """True if the last request failed."""
        return self._failures > 0

    def compute_idle_wait(self) -> float:
        """The wait until the table is looked at again: 50 ms, doubled each time up to 500 ms."""
        wait, self._idle = self._idle, min(MAX_IDLE, self._idle * 2)
        return self._spread(wait)

    def reset_idle(self) -> None:
        """Somebody said that there is something to do."""
        self._idle = MIN_IDLE

    def record_success(self) -> None:
        """The request was answered; the next may be twice as large."""
        self._idle, self._failures = MIN_IDLE, 0
        self.window = min(self._most, self.window * 2)

    def record_failure(self, retry_after: float | None = None) -> float:
        """The wait after a request that failed as a whole; the next one takes a single row.

        So an API that is away is asked about one row, and a row that spoils every request it is in ends up alone.
        """
        self.window = 1
        wait = min(self._longest_pause, FIRST_PAUSE * 2.0 ** min(self._failures, _MOST_DOUBLINGS))
        self._failures += 1
        if retry_after is None:
            return self._spread(wait)
        asked = min(retry_after, MAX_RETRY_AFTER)
        return max(asked, wait / 2) * (1 + self._chance() / 4)  # never earlier than asked

    def compute_row_delay(self, tries: int) -> timedelta:
        """The wait of a row that has spoiled so many requests of its own, while the others go on."""
        wait = min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(tries - 1, _MOST_DOUBLINGS))
        return timedelta(seconds=self._spread(wait))

    def _spread(self, wait: float) -> float:
        return wait * (0.75 + self._chance() / 4)
