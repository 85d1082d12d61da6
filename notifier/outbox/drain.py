"""How fast this process empties a queue that waits for it.

Only seconds of the last five minutes count in which mail had to wait for this process and something could be sent: how
many leave while none waits says nothing about how many could. What is unknown is None, never a guess.
"""

WINDOW = 300
"""Seconds that are remembered."""
LATE_SECONDS = 5.0
"""An entry that was due so long before it was claimed has waited in a queue, not for the next look at it."""
ENOUGH_SECONDS = 10
ENOUGH_LEFT = 10
"""From so many seconds of waiting, in which so many left, a rate is made."""


class Drain:
    """A ring of seconds. Times are monotonic seconds of this process, and never go back."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nothing is known any more: whatever comes next is another life."""
        self._left = [0] * WINDOW
        self._waited = bytearray(WINDOW)
        self._shut = bytearray(WINDOW)
        self._is_shut = False
        self._first = self._second = -1

    def left(self, count: int, now: float) -> None:
        """So many are done with, or due again later: the queue is shorter by them."""
        self._roll(now)
        self._left[self._second % WINDOW] += count

    def claimed_after(self, seconds: float, now: float) -> None:
        """What is claimed now has been due for so long; so there was something to do all the while."""
        self._roll(now)
        if seconds >= LATE_SECONDS:
            for second in range(max(int(now - seconds), self._oldest()), self._second + 1):
                self._waited[second % WINDOW] = 1

    def shut(self, now: float, *, is_shut: bool) -> None:
        """From now on nothing can be sent, or it can again; it does not count, and nobody's rate is worse for it."""
        self._roll(now)
        self._is_shut = is_shut
        self._shut[self._second % WINDOW] = 1

    def per_second(self, now: float) -> float | None:
        """Entries a second while there is a queue; None while too little is known."""
        if self._first < 0:
            return None  # who asks begins nothing
        self._roll(now)
        counting = [
            second % WINDOW
            for second in range(self._oldest(), self._second + 1)
            if self._waited[second % WINDOW] and not self._shut[second % WINDOW]
        ]
        left = sum(self._left[place] for place in counting)
        if len(counting) < ENOUGH_SECONDS or left < ENOUGH_LEFT:
            return None
        under_way = 1.0 - now % 1.0 if self._second % WINDOW == counting[-1] else 0.0
        return left / (len(counting) - under_way)

    def _oldest(self) -> int:
        return max(self._first, self._second - WINDOW + 1)

    def _roll(self, now: float) -> None:
        """Make the seconds since the last call, as they were."""
        second = int(now)
        if self._first < 0:
            self._first, self._second = second, second - 1
        for fresh in range(max(self._second, second - WINDOW) + 1, second + 1):
            place = fresh % WINDOW
            self._left[place], self._waited[place], self._shut[place] = 0, 0, self._is_shut
        self._second = max(self._second, second)
