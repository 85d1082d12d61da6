"""The clock: wall time for people and headers, monotonic time for durations and deadlines.

Leases and schedules in PostgreSQL use the database's clock, so a wrong clock of a host does no harm.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The source of time; tests pass one that they set."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""


class SystemClock:
    """The clocks of this host."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()
