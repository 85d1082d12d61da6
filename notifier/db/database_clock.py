"""The database's time, kept going by this host's monotonic clock.

Whoever submits, expires and schedules by it agrees with every other process, however wrong the clocks of the hosts are.
"""

import asyncio
from datetime import datetime, timedelta

from sqlalchemy import text

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError

SYNC_SECONDS = 60.0
"""Between looks at the database's clock; in a minute no monotonic clock is wrong by more than milliseconds."""
_NOW = text("SELECT clock_timestamp()")


class DatabaseClock:
    """A clock over PostgreSQL; until the first look it has only the host's."""

    def __init__(self, database: Database, host: Clock) -> None:
        self._database = database
        self._host = host
        self._seen: tuple[datetime, float] | None = None  # the database's time, and the monotonic second it was read

    def now(self) -> datetime:
        """Aware UTC wall time."""
        if self._seen is None:
            return self._host.now()
        at, second = self._seen
        return at + timedelta(seconds=self._host.monotonic() - second)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._host.monotonic()

    async def synchronize(self) -> bool:
        """Look at the database's clock; False if it was out of reach.

        What was read is taken for the time at the end of the look, so that this clock is behind by the way back, never
        ahead: what is due now by this clock is due in the database.
        """
        try:
            async with self._database.read() as connection:
                at: datetime = (await connection.execute(_NOW)).scalar_one()
        except DatabaseUnavailableError:
            return False
        self._seen = at, self._host.monotonic()
        return True

    async def keep_synchronized(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(SYNC_SECONDS if self._seen is not None else 1.0)
            await self.synchronize()
