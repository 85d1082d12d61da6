"""What keeps senders from their relays, where other processes can read it: who asks why a mail waits is told.

Only a note: no sender decides anything by it, and one that cannot be written is written later.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import RelayState, SenderProcess, columns
from notifier.errors import DatabaseUnavailableError

AGAIN_SECONDS = 1.0
LONGEST_REASON = 1000
_state, _sender = columns(RelayState), columns(SenderProcess)


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Why a relay is out of reach, for one sender."""

    relay: str
    reason: str
    since: datetime


class RelayReport:
    """One sender's note about its relay."""

    def __init__(self, database: Database, sender_id: UUID, relay: str, clock: Clock) -> None:
        self._database = database
        self._sender_id = sender_id
        self._relay = relay
        self._clock = clock
        self._reason: str | None = None
        self._since = clock.now()
        self._writing: asyncio.Task[None] | None = None

    def changed(self, reason: str | None) -> None:
        """The relay is out of reach because of that, or (None) takes mail again."""
        self._reason, self._since = reason, self._clock.now()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Nobody waits for this sender any more."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
            with contextlib.suppress(DatabaseUnavailableError):
                await self._put(None)

    async def _write(self) -> None:
        """Until what is written is what was last said."""
        written: object = self
        while written != (self._reason, self._since):
            said = self._reason, self._since
            try:
                await self._put(self._reason)
                written = said
            except DatabaseUnavailableError:
                await asyncio.sleep(AGAIN_SECONDS)

    async def _put(self, reason: str | None) -> None:
        async with self._database.write() as connection:
            await connection.execute(delete(RelayState).where(self._is_stale(), _state.relay == self._relay))
            if reason is not None:
                values = {"sender_id": self._sender_id, "relay": self._relay, "since": self._since}
                await connection.execute(insert(RelayState).values(values | {"reason": reason[:LONGEST_REASON]}))

    def _is_stale(self) -> ColumnElement[bool]:
        """The own note before, and those of senders that are gone; on SQLite there is one sender at a time."""
        if self._database.is_sqlite:
            return _state.sender_id.is_not(None)
        return (_state.sender_id == self._sender_id) | _state.sender_id.not_in(select(_sender.id))


async def obstacles(connection: AsyncConnection) -> list[Obstacle]:
    """Why relays are out of reach at this moment, oldest first."""
    statement = select(_state.relay, _state.reason, _state.since)
    if connection.dialect.name != "sqlite":
        statement = statement.where(_state.sender_id.in_(select(_sender.id)))
    return [Obstacle(**row) for row in (await connection.execute(statement.order_by(_state.since))).mappings()]
