"""How many entries left this process in the last whole second."""

from notifier.clock import Clock


class Rate:
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
