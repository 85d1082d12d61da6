"""The throughput of this process: of the last second, and while a queue waits for it.

Only those seconds of the last five minutes count in which mail waited for this process and could be sent: the rate
without a queue says nothing about the possible rate. An unknown rate is None, never a guess.
"""

from notifier.clock import Clock

WINDOW_SECONDS = 300
"""Seconds that are remembered."""
MIN_QUEUED_SECONDS = 5.0
"""An entry that was due this long before its claim has waited in a queue, not only for the next poll."""
MIN_MEASURED_SECONDS = 10
MIN_DEPARTURES = 10
"""Seconds of waiting, and departures in them, that are needed for a rate."""


class ThroughputEstimate:
    """A ring buffer of seconds. Times are monotonic seconds of this process, and never go back."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start again with nothing known."""
        self._departures = [0] * WINDOW_SECONDS
        self._had_queue = bytearray(WINDOW_SECONDS)
        self._was_paused = bytearray(WINDOW_SECONDS)
        self._is_paused = False
        self._first = self._second = -1

    def record_departures(self, count: int, now: float) -> None:
        """Record entries that are finished or due again later, so that the queue is shorter by them."""
        self._advance(now)
        self._departures[self._second % WINDOW_SECONDS] += count

    def record_waiting_time(self, seconds: float, now: float) -> None:
        """Record how long a claimed entry had been due: there was a queue all the while."""
        self._advance(now)
        if seconds >= MIN_QUEUED_SECONDS:
            for second in range(max(int(now - seconds), self._get_oldest()), self._second + 1):
                self._had_queue[second % WINDOW_SECONDS] = 1

    def set_paused(self, now: float, *, is_paused: bool) -> None:
        """Record that nothing can be sent from now on, or that it can again; paused seconds do not count."""
        self._advance(now)
        self._is_paused = is_paused
        self._was_paused[self._second % WINDOW_SECONDS] = 1

    def get_rate(self, now: float) -> float | None:
        """Return the entries per second while there is a queue, or None while too little is known."""
        if self._first < 0:
            return None  # reading must not start the measurement
        self._advance(now)
        counted = [
            second % WINDOW_SECONDS
            for second in range(self._get_oldest(), self._second + 1)
            if self._had_queue[second % WINDOW_SECONDS] and not self._was_paused[second % WINDOW_SECONDS]
        ]
        departures = sum(self._departures[index] for index in counted)
        if len(counted) < MIN_MEASURED_SECONDS or departures < MIN_DEPARTURES:
            return None
        unfinished = 1.0 - now % 1.0 if self._second % WINDOW_SECONDS == counted[-1] else 0.0
        return departures / (len(counted) - unfinished)

    def _get_oldest(self) -> int:
        return max(self._first, self._second - WINDOW_SECONDS + 1)

    def _advance(self, now: float) -> None:
        """Add the seconds since the last call."""
        second = int(now)
        if self._first < 0:
            self._first, self._second = second, second - 1
        for new in range(max(self._second, second - WINDOW_SECONDS) + 1, second + 1):
            index = new % WINDOW_SECONDS
            self._departures[index], self._had_queue[index], self._was_paused[index] = 0, 0, self._is_paused
        self._second = max(self._second, second)


class DepartureCounter:
    """Counts the entries that leave this process, second by second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = 0
        self._count = 0
        self._last = 0

    def add(self, count: int) -> None:
        """Count entries that left at this moment."""
        self._advance()
        self._count += count

    def per_second(self) -> int:
        """Return the larger of the last second's count and this second's so far."""
        self._advance()
        return max(self._last, self._count)

    def _advance(self) -> None:
        second = int(self._clock.monotonic())
        if second != self._second:
            self._last = self._count if second == self._second + 1 else 0
            self._second, self._count = second, 0
