"""How fast this process empties a queue that waits for it.

Only seconds of the last five minutes count in which mail had to wait for this process and something could be sent: how
many leave while none waits says nothing about how many could. What is unknown is None, never a guess.
"""

WINDOW_SECONDS = 300
"""Seconds that are remembered."""
MIN_QUEUED_SECONDS = 5.0
"""An entry that was due so long before it was claimed has waited in a queue, not for the next look at it."""
MIN_MEASURED_SECONDS = 10
MIN_DEPARTURES = 10
"""From so many seconds of waiting, in which so many left, a rate is made."""


class ThroughputEstimate:
    """A ring of seconds. Times are monotonic seconds of this process, and never go back."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Nothing is known any more: whatever comes next is another life."""
        self._left = [0] * WINDOW_SECONDS
        self._waited = bytearray(WINDOW_SECONDS)
        self._shut = bytearray(WINDOW_SECONDS)
        self._is_shut = False
        self._first = self._second = -1

    def record_departures(self, count: int, now: float) -> None:
        """So many are done with, or due again later: the queue is shorter by them."""
        self._roll(now)
        self._left[self._second % WINDOW_SECONDS] += count

    def record_waiting_time(self, seconds: float, now: float) -> None:
        """What is claimed now has been due for so long; so there was something to do all the while."""
        self._roll(now)
        if seconds >= MIN_QUEUED_SECONDS:
            for second in range(max(int(now - seconds), self._oldest()), self._second + 1):
                self._waited[second % WINDOW_SECONDS] = 1

    def set_paused(self, now: float, *, is_shut: bool) -> None:
        """From now on nothing can be sent, or it can again; it does not count, and nobody's rate is worse for it."""
        self._roll(now)
        self._is_shut = is_shut
        self._shut[self._second % WINDOW_SECONDS] = 1

    def get_rate(self, now: float) -> float | None:
        """Entries a second while there is a queue; None while too little is known."""
        if self._first < 0:
            return None  # who asks begins nothing
        self._roll(now)
        counting = [
            second % WINDOW_SECONDS
            for second in range(self._oldest(), self._second + 1)
            if self._waited[second % WINDOW_SECONDS] and not self._shut[second % WINDOW_SECONDS]
        ]
        left = sum(self._left[place] for place in counting)
        if len(counting) < MIN_MEASURED_SECONDS or left < MIN_DEPARTURES:
            return None
        under_way = 1.0 - now % 1.0 if self._second % WINDOW_SECONDS == counting[-1] else 0.0
        return left / (len(counting) - under_way)

    def _oldest(self) -> int:
        return max(self._first, self._second - WINDOW_SECONDS + 1)

    def _roll(self, now: float) -> None:
        """Make the seconds since the last call, as they were."""
        second = int(now)
        if self._first < 0:
            self._first, self._second = second, second - 1
        for fresh in range(max(self._second, second - WINDOW_SECONDS) + 1, second + 1):
            place = fresh % WINDOW_SECONDS
            self._left[place], self._waited[place], self._shut[place] = 0, 0, self._is_shut
        self._second = max(self._second, second)
