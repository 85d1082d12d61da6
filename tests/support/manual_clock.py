"""A clock that stands still until a test moves it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass
class ManualClock:
    """Wall and monotonic time, moved by hand, together or apart."""

    wall: datetime = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    ticks: float = 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ticks += seconds
        self.wall += timedelta(seconds=seconds)
