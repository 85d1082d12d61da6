"""When each key was last used, to within a minute: written beside the requests, never in one.

A process writes at most once a minute for each key; what it cannot write is not tried again before the next minute.
"""

import asyncio
from uuid import UUID

from sqlalchemy import bindparam, or_, update

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import ApiKey, columns
from notifier.db.unavailable import NOTICED
from notifier.errors import NotifierError
from notifier.telemetry.logging import get_logger

EXACT_SECONDS = 60.0
"""How much later a key may have been used than its row says."""
WRITE_SECONDS = 2.5
_key = columns(ApiKey)
_USED = (
    update(ApiKey)
    .where(_key.id == bindparam("key"), or_(_key.last_used_at.is_(None), _key.last_used_at < bindparam("at")))
    .values(last_used_at=bindparam("at"))
)


class Usage:
    """Remembers which keys were used and has that written down in a task of its own."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._quiet_until: dict[UUID, float] = {}
        self._waiting: set[UUID] = set()
        self._writing: asyncio.Task[None] | None = None

    def note(self, key: UUID) -> None:
        """The key is used now."""
        now = self._clock.monotonic()
        if self._quiet_until.get(key, 0.0) > now:
            return
        self._quiet_until[key] = now + EXACT_SECONDS
        self._waiting.add(key)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    async def _write(self) -> None:
        while self._waiting:
            keys, self._waiting = sorted(self._waiting), set()  # sorted: two processes never wait for each other
            rows = [{"key": key, "at": self._clock.now()} for key in keys]
            try:
                async with asyncio.timeout(WRITE_SECONDS), self._database.write() as connection:
                    await connection.execute(_USED, rows)
            except (NotifierError, *NOTICED) as error:
                get_logger().warning("key_usage_not_written", error=type(error).__name__)
