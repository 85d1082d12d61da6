"""Clocks that a test advances instead of waiting."""

from datetime import datetime, timedelta

from notifier.clock import SystemClock


class ForwardClock(SystemClock):
    """The clocks of this host, ahead by some seconds."""

    seconds = 0.0

    def now(self) -> datetime:
        """Aware UTC wall time."""
        return super().now() + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return super().monotonic() + self.seconds


class SteppingClock(ForwardClock):
    """Monotonic time that moves only when a test moves it."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self.seconds
