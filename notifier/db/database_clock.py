"""The database's time, carried forward by this host's monotonic clock.

All processes that use it agree on the time, even if the clocks of their hosts are wrong.
"""

import asyncio
from datetime import datetime, timedelta

from sqlalchemy import text

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError

SYNC_SECONDS = 60.0
"""Seconds between reads of the database's clock. In a minute a monotonic clock drifts by milliseconds at most."""
_NOW = text("SELECT clock_timestamp()")


class DatabaseClock:
    """PostgreSQL's clock. Until it was read once, the host's clock is used."""

    def __init__(self, database: Database, host: Clock) -> None:
        self._database = database
        self._host = host
        self._reading: tuple[datetime, float] | None = None  # the database's time, and the monotonic time of the read

    def now(self) -> datetime:
        """Aware UTC wall time."""
        if self._reading is None:
            return self._host.now()
        at, second = self._reading
        return at + timedelta(seconds=self._host.monotonic() - second)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._host.monotonic()

    async def synchronize(self) -> bool:
        """Read the database's clock. Returns False if it was out of reach.

        The value counts as the time at which the reply arrived. So this clock may be late, but is never early: an entry
        that is due by this clock is due in the database.
        """
        try:
            async with self._database.read() as connection:
                at: datetime = (await connection.execute(_NOW)).scalar_one()
        except DatabaseUnavailableError:
            return False
        self._reading = at, self._host.monotonic()
        return True

    async def keep_synchronized(self) -> None:
        """Read the database's clock at intervals, until cancelled."""
        while True:
            await asyncio.sleep(SYNC_SECONDS if self._reading is not None else 1.0)
            await self.synchronize()
