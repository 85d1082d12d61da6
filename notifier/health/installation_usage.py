"""What a running installation uses now, as far as its database can tell: mails, queue, senders, connections, WAL."""

# ruff: noqa: S608 - SQL of our own constants; values are always bound

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any

from sqlalchemy import Row, Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import Attempt, Notification, SenderProcess, get_columns
from notifier.delivery.simulator import SIMULATOR_RELAY
from notifier.health.connection_check import ALLOWED_CONNECTIONS, IS_CLIENT
from notifier.ids import get_first_id, get_id_time
from notifier.outcomes import OutcomeName
from notifier.settings import Settings
from notifier.statistics.hour_totals import BusyHour, find_busiest_hour
from notifier.statistics.waiting_mail import WaitingMail, count_waiting_mail
from notifier.throttle.queue_forecast import MAX_SENDER_SILENCE
from notifier.throttle.relay_state import list_limited_senders, list_relay_outages

WINDOW = timedelta(minutes=10)
"""The time for which mails are counted."""
MAX_READ_MAILS = 20_000
"""Mails of the window that are read; if there are more, the rate is that of the newest."""
BUSY_DAYS = timedelta(days=7)
"""The time in which the busiest hour is searched for."""
_notification, _attempt, _sender = get_columns(Notification), get_columns(Attempt), get_columns(SenderProcess)
_SENT = select(_attempt.id, _attempt.duration_ms).where(
    _attempt.outcome == OutcomeName.ACCEPTED, _attempt.relay != SIMULATOR_RELAY, _attempt.duration_ms.is_not(None)
)
# The WAL is the whole server's. A standby writes none, and has received as much.
_SERVER = text(f"""
SELECT {ALLOWED_CONNECTIONS} AS allowed,
       (SELECT count(*) FROM pg_stat_activity WHERE {IS_CLIENT}) AS used,
       (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()) AS commits,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                       '0/0')::float8 AS wal,
       extract(epoch FROM clock_timestamp())::float8 AS at""")


@dataclass(frozen=True, kw_only=True)
class ServerUsage:
    """What PostgreSQL says about itself."""

    connections: int  # of clients, of all databases of the server
    allowed_connections: int  # without those that are reserved
    process_connections: int  # the most that the settings allow
    is_pooled: bool  # a pooler stands in between, and decides how many of them the server gets
    commits_per_second: float  # of this database, also of transactions that only read
    wal_per_second: float  # bytes, of the whole server


@dataclass(frozen=True, kw_only=True)
class SenderUsage:
    """The sender processes that are alive."""

    processes: int
    hosts: int
    per_second: float | None  # mails of all together while mail waited; None: not known
    relay_connections: int  # that all together may open
    limited: int  # processes from which a relay takes fewer
    outages: int  # relays that take no mail now


@dataclass(frozen=True, kw_only=True)
class InstallationUsage:
    """What an installation uses now."""

    accepted_per_second: float  # mails, in the window
    sent_per_second: float  # mails that a relay accepted, in the window
    relay_seconds: float | None  # mean time of a mail at the relay; None: none was sent
    waiting: WaitingMail
    busiest: BusyHour | None
    senders: SenderUsage | None  # None on SQLite, which has one process
    server: ServerUsage | None  # None on SQLite


async def read_usage(
    database: Database, settings: Settings, clock: Clock, *, seconds: float, most: int = MAX_READ_MAILS
) -> InstallationUsage:
    """Read it; what PostgreSQL only counts is read twice, `seconds` apart. Raises `DatabaseUnavailableError`.

    `most`: mails of the window that are read.
    """
    now = clock.now()
    async with database.inspect() as connection:
        accepted, _ = await _read_newest(connection, select(_notification.id), now, most)
    async with database.inspect() as connection:
        sent, attempts = await _read_newest(connection, _SENT, now, most)
    async with database.inspect() as connection:
        waiting = await count_waiting_mail(connection, None, now)
    async with database.inspect() as connection:
        busiest = await find_busiest_hour(connection, now - BUSY_DAYS)
        senders = None if database.is_sqlite else await _read_senders(connection, settings)
    return InstallationUsage(
        accepted_per_second=accepted,
        sent_per_second=sent,
        relay_seconds=fmean(attempt.duration_ms for attempt in attempts) / 1000 if attempts else None,
        waiting=waiting,
        busiest=busiest,
        senders=senders,
        server=None if database.is_sqlite else await _read_server(database, settings, seconds),
    )


async def _read_newest(
    connection: AsyncConnection, rows_of_table: Select[Any], now: datetime, most: int
) -> tuple[float, Sequence[Row[Any]]]:
    """Read the rows of the window by id, which has the time in it. Return the rows, and before them their rate."""
    id_: Any = rows_of_table.selected_columns[0]
    statement = rows_of_table.where(id_ >= get_first_id(now - WINDOW)).order_by(id_.desc()).limit(most)
    rows = (await connection.execute(statement)).all()
    span = now - get_id_time(rows[-1].id) if len(rows) == most else WINDOW
    return len(rows) / max(1.0, span.total_seconds()), rows


async def _read_senders(connection: AsyncConnection, settings: Settings) -> SenderUsage:
    recent = _sender.beat_at > func.clock_timestamp() - MAX_SENDER_SILENCE
    rows = (await connection.execute(select(_sender.host, _sender.sent_rate).where(recent))).all()
    rates = [row.sent_rate for row in rows]
    limited = await list_limited_senders(connection)
    each = min(settings.smtp.max_connections, settings.sender.concurrency)
    return SenderUsage(
        processes=len(rows),
        hosts=len({row.host for row in rows}),
        per_second=math.fsum(rates) if rates and None not in rates else None,
        relay_connections=each * (len(rows) - len(limited)) + sum(min(each, sender.in_force) for sender in limited),
        limited=len(limited),
        outages=len({outage.relay for outage in await list_relay_outages(connection)}),
    )


async def _read_server(database: Database, settings: Settings, seconds: float) -> ServerUsage:
    readings = []
    for pause in (seconds, 0.0):
        async with database.inspect() as connection:
            readings.append((await connection.execute(_SERVER)).one())
        await asyncio.sleep(pause)
    first, last = readings
    elapsed = max(last.at - first.at, 0.001)
    return ServerUsage(
        connections=last.used,
        allowed_connections=last.allowed,
        process_connections=settings.database_connections,
        is_pooled=await database.is_pooled(),
        commits_per_second=(last.commits - first.commits) / elapsed,
        wal_per_second=(last.wal - first.wal) / elapsed,
    )
