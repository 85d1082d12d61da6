"""How fast this process empties a queue that waits for it.

Only those seconds of the last five minutes count in which mail waited for this process and could be sent: the rate
without a queue says nothing about the possible rate. An unknown rate is None, never a guess.
"""

WINDOW = 300
"""Seconds that are remembered."""
LATE_SECONDS = 5.0
"""An entry that was due this long before its claim has waited in a queue, not only for the next poll."""
ENOUGH_SECONDS = 10
ENOUGH_LEFT = 10
"""Seconds of waiting, and departures in them, that are needed for a rate."""


class Drain:
    """A ring buffer of seconds. Times are monotonic seconds of this process, and never go back."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start again with nothing known."""
        self._departures = [0] * WINDOW
        self._had_queue = bytearray(WINDOW)
        self._was_paused = bytearray(WINDOW)
        self._is_paused = False
        self._first = self._second = -1

    def left(self, count: int, now: float) -> None:
        """Record entries that are finished or due again later, so that the queue is shorter by them."""
        self._advance(now)
        self._departures[self._second % WINDOW] += count

    def claimed_after(self, seconds: float, now: float) -> None:
        """Record how long a claimed entry had been due: there was a queue all the while."""
        self._advance(now)
        if seconds >= LATE_SECONDS:
            for second in range(max(int(now - seconds), self._get_oldest()), self._second + 1):
                self._had_queue[second % WINDOW] = 1

    def shut(self, now: float, *, is_paused: bool) -> None:
        """Record that nothing can be sent from now on, or that it can again; paused seconds do not count."""
        self._advance(now)
        self._is_paused = is_paused
        self._was_paused[self._second % WINDOW] = 1

    def per_second(self, now: float) -> float | None:
        """Return the entries per second while there is a queue, or None while too little is known."""
        if self._first < 0:
            return None  # reading must not start the measurement
        self._advance(now)
        counted = [
            second % WINDOW
            for second in range(self._get_oldest(), self._second + 1)
            if self._had_queue[second % WINDOW] and not self._was_paused[second % WINDOW]
        ]
        departures = sum(self._departures[index] for index in counted)
        if len(counted) < ENOUGH_SECONDS or departures < ENOUGH_LEFT:
            return None
        unfinished = 1.0 - now % 1.0 if self._second % WINDOW == counted[-1] else 0.0
        return departures / (len(counted) - unfinished)

    def _get_oldest(self) -> int:
        return max(self._first, self._second - WINDOW + 1)

    def _advance(self, now: float) -> None:
        """Add the seconds since the last call."""
        second = int(now)
        if self._first < 0:
            self._first, self._second = second, second - 1
        for new in range(max(self._second, second - WINDOW) + 1, second + 1):
            index = new % WINDOW
            self._departures[index], self._had_queue[index], self._was_paused[index] = 0, 0, self._is_paused
        self._second = max(self._second, second)
