"""Writes when each key was last used, exact to a minute, in a task beside the requests.

A process writes at most once a minute for each key. A write that fails is not repeated before the next minute.
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
from notifier.db.database_errors import DATABASE_ERRORS
from notifier.db.engine import Database
from notifier.db.tables import ApiKey, get_columns
from notifier.errors import NotifierError
from notifier.telemetry.logging import get_logger

USE_PRECISION_SECONDS = 60.0
"""By how much the time in a row may be too early."""
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
    """Collects uses and writes them in a task of its own."""

    failure_event: str  # the event that is logged when it could not be written

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._quiet_until: dict[Used, float] = {}
        self._waiting: set[Used] = set()
        self._writing: asyncio.Task[None] | None = None

    def note_use(self, used: Used) -> None:
        """Note a use at this moment."""
        now = self._clock.monotonic()
        if self._quiet_until.get(used, 0.0) > now:
            return
        self._quiet_until[used] = now + USE_PRECISION_SECONDS
        self._waiting.add(used)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Wait until the current write has ended."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    @abstractmethod
    async def write_uses(self, connection: AsyncConnection, used: Sequence[Used], at: datetime) -> None:
        """Write the time of these uses."""

    async def _write(self) -> None:
        while self._waiting:
            used, self._waiting = sorted(self._waiting), set()  # sorted: two processes never wait for each other
            try:
                async with asyncio.timeout(MAX_USE_WRITE_SECONDS), self._database.write() as connection:
                    await self.write_uses(connection, used, self._clock.now())
            except (NotifierError, *DATABASE_ERRORS) as error:
                get_logger().warning(self.failure_event, error=type(error).__name__)


class KeyUsageWriter(LastUseWriter[UUID]):
    """Writes when keys were last used."""

    failure_event = "key_usage_not_written"

    async def write_uses(self, connection: AsyncConnection, used: Sequence[UUID], at: datetime) -> None:
        """Write the time at which these keys were used."""
        await connection.execute(_MARK_KEY_USED, [{"key": key, "at": at} for key in used])
