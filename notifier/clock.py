"""Time, handed in rather than read: wall time for people and headers, monotonic time for durations and deadlines.

Leases and schedules in PostgreSQL use the database's clock instead, so that a host with a wrong clock does no harm.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What code that needs the time is given."""

    def now(self) -> datetime:
        """Aware UTC wall time."""

    def monotonic(self) -> float:
        """Seconds that never go back."""


class SystemClock:
    """The clocks of this host."""

    def now(self) -> datetime:
        """Aware UTC wall time."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()
