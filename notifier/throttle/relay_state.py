"""What senders report about their relays, for other processes to read: outages and reduced connection limits.

No sender decides anything by these reports. A report that cannot be written now is written later.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """Why one sender cannot reach its relay."""

    relay: str
    reason: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class LimitedSender:
    """A sender from which the relay accepts fewer connections than its setting allows."""

    relay: str
    in_force: int
    maximum: int
    reason: str
    since: datetime


_Rows = Mapping[type[RelayState | RelayConnections], Mapping[str, Any] | None]
"""The rows of one sender by table; None or no key: no row."""


class RelayReport:
    """One sender's report about its relay."""

    def __init__(self, database: Database, sender_id: UUID, relay: str, clock: Clock) -> None:
        self._database = database
        self._key = {"sender_id": sender_id, "relay": relay}
        self._clock = clock
        self._rows: _Rows = {}
        self._writing: asyncio.Task[None] | None = None

    def report_outage(self, reason: str | None) -> None:
        """Report why the relay is out of reach, or (None) that it accepts mail again."""
        row = None if reason is None else {"reason": reason[:MAX_REASON_LENGTH], "since": self._clock.now()}
        self._report({**self._rows, RelayState: row})

    def report_connection_limit(self, state: ConnectionLimitState) -> None:
        """Report how many connections the relay accepts."""
        row = None
        if state.in_force != state.maximum:
            row = vars(state) | {"since": self._clock.now(), "reason": state.reason[:MAX_REASON_LENGTH]}
        self._report({**self._rows, RelayConnections: row})

    async def close(self) -> None:
        """Delete the report, because the sender ends."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
            with contextlib.suppress(DatabaseUnavailableError):
                await self._put({})

    def _report(self, rows: _Rows) -> None:
        self._rows = rows
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Write until the last report is in the database."""
        written: _Rows | None = None
        while written is not self._rows:
            rows = self._rows
            try:
                await self._put(rows)
                written = rows
            except DatabaseUnavailableError:
                await asyncio.sleep(RETRY_SECONDS)

    async def _put(self, rows: _Rows) -> None:
        async with self._database.write() as connection:
            for table in (RelayState, RelayConnections):
                row, own = rows.get(table), get_columns(table)
                await connection.execute(delete(table).where(self._is_stale(own), own.relay == self._key["relay"]))
                if row is not None:
                    await connection.execute(insert(table).values(self._key | dict(row)))

    def _is_stale(self, own: "ColumnCollection[str, Column[Any]]") -> ColumnElement[bool]:
        """Select the own rows and those of senders that have ended; on SQLite all, because there is one sender."""
        if self._database.is_sqlite:
            return own.sender_id.is_not(None)
        return (own.sender_id == self._key["sender_id"]) | own.sender_id.not_in(select(_sender.id))


async def list_relay_outages(connection: AsyncConnection) -> list[RelayOutage]:
    """List the relays that are out of reach now, oldest outage first."""
    statement = select(_state.relay, _state.reason, _state.since).order_by(_state.since)
    return [RelayOutage(**row) for row in await _read_living(connection, statement, _state)]


async def list_limited_senders(connection: AsyncConnection) -> list[LimitedSender]:
    """List the senders from which a relay accepts fewer connections than the setting, oldest first."""
    own = _connections
    statement = select(own.relay, own.in_force, own.maximum, own.reason, own.since).order_by(own.since)
    return [LimitedSender(**row) for row in await _read_living(connection, statement, own)]


async def _read_living(
    connection: AsyncConnection, statement: Select[Any], own: "ColumnCollection[str, Column[Any]]"
) -> Sequence[RowMapping]:
    """Read the rows of living senders; on SQLite that is the only one."""
    if connection.dialect.name != "sqlite":
        statement = statement.where(own.sender_id.in_(select(_sender.id)))
    rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return rows
