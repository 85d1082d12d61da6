"""What senders learn about their relays, where other processes can read it: outages, and numbers of connections.

Only a note: no sender decides anything by it, and one that cannot be written is written later.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, RowMapping, Select, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import RelayConnections, RelayState, SenderProcess, get_columns
from notifier.errors import DatabaseUnavailableError
from notifier.smtp.connection_limit import ConnectionLimitState

if TYPE_CHECKING:
    from sqlalchemy.sql.expression import ColumnCollection

RETRY_SECONDS = 1.0
MAX_REASON_LENGTH = 1000
_state, _connections, _sender = get_columns(RelayState), get_columns(RelayConnections), get_columns(SenderProcess)


@dataclass(frozen=True, kw_only=True)
class RelayOutage:
    """Why a relay is out of reach, for one sender."""

    relay: str
    reason: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class LimitedSender:
    """A sender from which the relay takes fewer connections than its setting allows."""

    relay: str
    in_force: int
    maximum: int
    reason: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class _ReportedRows:
    """The rows of one sender; None: there is none."""

    state: Mapping[str, Any] | None = None
    connections: Mapping[str, Any] | None = None


class RelayReport:
    """One sender's notes about its relay."""

    def __init__(self, database: Database, sender_id: UUID, relay: str, clock: Clock) -> None:
        self._database = database
        self._key = {"sender_id": sender_id, "relay": relay}
        self._clock = clock
        self._notes = _ReportedRows()
        self._writing: asyncio.Task[None] | None = None

    def report_outage(self, reason: str | None) -> None:
        """The relay is out of reach because of that, or (None) takes mail again."""
        row = None if reason is None else {"reason": reason[:MAX_REASON_LENGTH], "since": self._clock.now()}
        self._note(replace(self._notes, state=row))

    def report_connection_limit(self, number: ConnectionLimitState) -> None:
        """The relay takes so many connections."""
        row = None if number.in_force == number.maximum else vars(number) | {"since": self._clock.now()}
        if row is not None:
            row["reason"] = number.reason[:MAX_REASON_LENGTH]
        self._note(replace(self._notes, connections=row))

    async def close(self) -> None:
        """Nobody waits for this sender any more."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
            with contextlib.suppress(DatabaseUnavailableError):
                await self._put(_ReportedRows())

    def _note(self, notes: _ReportedRows) -> None:
        self._notes = notes
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Until what is written is what was last noted."""
        written: _ReportedRows | None = None
        while written is not self._notes:
            notes = self._notes
            try:
                await self._put(notes)
                written = notes
            except DatabaseUnavailableError:
                await asyncio.sleep(RETRY_SECONDS)

    async def _put(self, notes: _ReportedRows) -> None:
        async with self._database.write() as connection:
            for table, row in ((RelayState, notes.state), (RelayConnections, notes.connections)):
                own = get_columns(table)
                await connection.execute(delete(table).where(self._is_stale(own), own.relay == self._key["relay"]))
                if row is not None:
                    await connection.execute(insert(table).values(self._key | dict(row)))

    def _is_stale(self, own: "ColumnCollection[str, Column[Any]]") -> ColumnElement[bool]:
        """The own note before, and those of senders that are gone; on SQLite there is one sender at a time."""
        if self._database.is_sqlite:
            return own.sender_id.is_not(None)
        return (own.sender_id == self._key["sender_id"]) | own.sender_id.not_in(select(_sender.id))


async def list_relay_outages(connection: AsyncConnection) -> list[RelayOutage]:
    """Why relays are out of reach at this moment, oldest first."""
    statement = select(_state.relay, _state.reason, _state.since).order_by(_state.since)
    return [RelayOutage(**row) for row in await _read_living(connection, statement, _state)]


async def list_limited_senders(connection: AsyncConnection) -> list[LimitedSender]:
    """The senders from which a relay takes fewer connections than it might, oldest first."""
    own = _connections
    statement = select(own.relay, own.in_force, own.maximum, own.reason, own.since).order_by(own.since)
    return [LimitedSender(**row) for row in await _read_living(connection, statement, own)]


async def _read_living(
    connection: AsyncConnection, statement: Select[Any], own: "ColumnCollection[str, Column[Any]]"
) -> Sequence[RowMapping]:
    """The rows of senders that are there; on SQLite that is the only one."""
    if connection.dialect.name != "sqlite":
        statement = statement.where(own.sender_id.in_(select(_sender.id)))
    found: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return found
