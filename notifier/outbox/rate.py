"""How fast this process works, measured by what left it."""

from notifier.clock import Clock


class DepartureCounter:
    """How many entries left this process in the last whole second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = 0
        self._count = 0
        self._last = 0

    def add(self, count: int) -> None:
        """Count entries that left at this moment."""
        self._roll()
        self._count += count

    def per_second(self) -> int:
        """The larger of the last second's count and this one's so far."""
        self._roll()
        return max(self._last, self._count)

    def _roll(self) -> None:
        second = int(self._clock.monotonic())
        if second != self._second:
            self._last = self._count if second == self._second + 1 else 0
            self._second, self._count = second, 0
