"""Reads what may be a few seconds old from a standby, and from the primary while the standby cannot be used.

Decisions never use it: packages that decide are below this one, so the import contract keeps it from them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from notifier.clock import SystemClock
from notifier.db import engine
from notifier.db.connection_pool import build_pool_options
from notifier.db.database_errors import DATABASE_ERRORS, convert_database_error
from notifier.db.database_url import PostgresAddress, parse_read_url
from notifier.db.engine import Database, OpenReader
from notifier.db.postgres_connector import PostgresConnector
from notifier.errors import DatabaseUnavailableError
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger
from notifier.ttl_cache import TtlCache

CHECK_TTL_SECONDS = 5.0
"""Seconds for which a process believes what it found out about the standby."""
CHECK_TIMEOUT = 1.0
"""Seconds within which a usable standby answers the check."""
MAX_STANDBY_LAG = 30.0  # seconds that a standby may be behind to be read
_KEY = "standby"
_IDENTITY = (
    "SELECT system_identifier AS cluster, current_database() AS database, pg_postmaster_start_time() AS started_at,"
)
_ASK_PRIMARY = text(f"""
{_IDENTITY} clock_timestamp() AS now,
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END::text AS position
FROM pg_control_system()
""")
_ASK_STANDBY = text(f"""
{_IDENTITY} pg_is_in_recovery() AS is_standby,
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() >= CAST(CAST(:position AS text) AS pg_lsn) END
    AS is_current,
  pg_last_xact_replay_timestamp() AS replayed_at
FROM pg_control_system()
""")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class StandbyState:
    """What is known about the standby."""

    fault: str | None = None  # why it is not read, for operators; None: it is
    lag: float | None = None  # seconds that it is behind; None: not known


class StandbyReader:
    """The standby, if the settings name one. `max_lag`: seconds that it may be behind."""

    def __init__(self, database: Database, url: str | None, *, max_lag: float = MAX_STANDBY_LAG) -> None:
        self._database = database
        self._max_lag = max_lag
        self._state = TtlCache(self._check, SystemClock(), seconds=CHECK_TTL_SECONDS)
        self._last_fault: str | None = None
        self.address: PostgresAddress | None = parse_read_url(url) if url is not None else None
        self._engine: AsyncEngine | None = None
        if self.address is not None:
            connector = PostgresConnector(self.address, session=engine.PLANNING)
            size = database.shares.ordinary + database.shares.staff
            opened = connector.create_engine(**build_pool_options(size))
            self._engine = opened.execution_options(isolation_level="AUTOCOMMIT")

    async def read(self, work: Callable[[AsyncConnection], Awaitable[Result]], primary: OpenReader) -> Result:
        """Run `work`, which only reads, on the standby, or on the primary if the standby cannot be used.

        It runs on the primary after it has failed on the standby, for example by a recovery conflict, but not after it
        was too slow there: then it raises `DatabaseUnavailableError`.
        """
        if self._engine is not None and (await self.get_state()).fault is None:
            try:
                async with asyncio.timeout(engine.READ_TIMEOUT), self._engine.connect() as connection:
                    return await work(connection)
            except DATABASE_ERRORS as error:
                converted = convert_database_error(error, self.address)
                if converted is error:
                    raise
                self.invalidate()
                if isinstance(error, (TimeoutError, PoolTimeoutError)):
                    raise converted from error
                get_logger().warning("standby_read_failed", reason=getattr(converted, "reason", None))
        async with primary() as connection:
            return await work(connection)

    async def get_state(self) -> StandbyState:
        """Get what is known about the standby, at most `CHECK_TTL_SECONDS` old."""
        state = await self._state.get(_KEY) or StandbyState()
        metrics.STANDBY_USABLE.set(state.fault is None)
        if state.lag is not None:
            metrics.STANDBY_LAG_SECONDS.set(state.lag)
        return state

    def invalidate(self) -> None:
        """Ask the standby again before the next read."""
        self._state.invalidate(lambda _: True)

    async def close(self) -> None:
        """Close the connections to the standby."""
        if self._engine is not None:
            await self._engine.dispose()

    async def _check(self, _: str) -> StandbyState:
        state = await self._find_state()
        if state.fault != self._last_fault:
            if state.fault is None:
                get_logger().info("standby_is_read_again")
            else:
                get_logger().warning("standby_is_not_read", reason=state.fault)
        self._last_fault = state.fault
        return state

    async def _find_state(self) -> StandbyState:
        """Compare the standby with the primary. The primary is asked first, so the lag is never underestimated."""
        assert self._engine is not None
        try:
            async with self._database.inspect() as connection:
                primary = (await connection.execute(_ASK_PRIMARY)).one()
        except (DatabaseUnavailableError, DBAPIError) as error:
            return StandbyState(fault=getattr(error, "reason", None) or "the primary cannot be asked")
        try:
            async with asyncio.timeout(CHECK_TIMEOUT), self._engine.connect() as connection:
                standby = (await connection.execute(_ASK_STANDBY, {"position": primary.position})).one()
        except DATABASE_ERRORS as error:
            converted = convert_database_error(error, self.address)
            return StandbyState(fault=getattr(converted, "reason", None) or "the standby cannot be asked")
        return _judge(primary, standby, self._max_lag)


def _judge(primary: Row[Any], standby: Row[Any], max_lag: float) -> StandbyState:
    """Judge whether the standby may be read."""
    if (primary.cluster, primary.database) != (standby.cluster, standby.database):
        return StandbyState(fault="it is no standby of this database: correct NOTIFIER_DATABASE_READ_URL")
    if not standby.is_standby:
        if primary.started_at == standby.started_at:  # both URLs lead to the same server, as after a failover
            return StandbyState(lag=0.0)
        return StandbyState(fault="it takes writes itself: build the standby again, or correct the URL")
    lag = 0.0 if standby.is_current else _compute_lag(primary.now, standby.replayed_at)
    if lag is None:
        return StandbyState(fault="it has replayed nothing yet: wait, or look at its log")
    fault = f"it is {lag:.0f} s behind, more than {max_lag:.0f} s: look at replication" if lag > max_lag else None
    return StandbyState(fault=fault, lag=lag)


def _compute_lag(now: datetime, replayed_at: datetime | None) -> float | None:
    return max(0.0, (now - replayed_at).total_seconds()) if replayed_at is not None else None
