"""A clock that stands still until a test advances it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass
class ManualClock:
    """Wall and monotonic time that a test advances, together or separately."""

    wall: datetime = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    ticks: float = 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks

    def advance(self, seconds: float) -> None:
        """Advance both times."""
        self.ticks += seconds
        self.wall += timedelta(seconds=seconds)
