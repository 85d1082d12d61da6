"""When each key was last used, to within a minute: written beside the requests, never in one.

A process writes at most once a minute for each key; what it cannot write is not tried again before the next minute.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import bindparam, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import ApiKey, get_columns
from notifier.db.unavailability import DATABASE_ERRORS
from notifier.errors import NotifierError
from notifier.telemetry.logging import get_logger

USE_PRECISION_SECONDS = 60.0
"""How much later something may have been used than its row says."""
MAX_USE_WRITE_SECONDS = 2.5
Used = TypeVar("Used", bound=tuple[Any, ...] | UUID)
_key_columns = get_columns(ApiKey)
_MARK_KEY_USED = (
    update(ApiKey)
    .where(
        _key_columns.id == bindparam("key"),
        or_(_key_columns.last_used_at.is_(None), _key_columns.last_used_at < bindparam("at")),
    )
    .values(last_used_at=bindparam("at"))
)


class LastUseWriter(ABC, Generic[Used]):
    """Remembers what was used and has that written down in a task of its own."""

    failure_event: str  # the event that is logged when it could not be written

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._quiet_until: dict[Used, float] = {}
        self._waiting: set[Used] = set()
        self._writing: asyncio.Task[None] | None = None

    def note_use(self, used: Used) -> None:
        """It is used now."""
        now = self._clock.monotonic()
        if self._quiet_until.get(used, 0.0) > now:
            return
        self._quiet_until[used] = now + USE_PRECISION_SECONDS
        self._waiting.add(used)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    @abstractmethod
    async def write_uses(self, connection: AsyncConnection, used: Sequence[Used], at: datetime) -> None:
        """Write that these were used."""

    async def _write(self) -> None:
        while self._waiting:
            used, self._waiting = sorted(self._waiting), set()  # sorted: two processes never wait for each other
            try:
                async with asyncio.timeout(MAX_USE_WRITE_SECONDS), self._database.write() as connection:
                    await self.write_uses(connection, used, self._clock.now())
            except (NotifierError, *DATABASE_ERRORS) as error:
                get_logger().warning(self.failure_event, error=type(error).__name__)


class KeyUsageWriter(LastUseWriter[UUID]):
    """Which keys are used."""

    failure_event = "key_usage_not_written"

    async def write_uses(self, connection: AsyncConnection, used: Sequence[UUID], at: datetime) -> None:
        """Write that these keys were used."""
        await connection.execute(_MARK_KEY_USED, [{"key": key, "at": at} for key in used])
