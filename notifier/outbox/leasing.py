"""Leasing what is due: who has a backlog, a claim of it, and giving back what was leased without our hearing of it.

The claim's half of `notifier.outbox.entry_store`, and made like it: statements of `notifier.outbox.queue_sql`, the same
result on both databases, times from the database's clock unless a caller hands in `now`, and no commits.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause

from notifier.db.column_types import format_sqlite_time
from notifier.db.direct_connections import StatementConnection
from notifier.outbox import queue_sql
from notifier.outbox.handler import ClaimedEntry
from notifier.outbox.queue_sql import PRIORITIES_BY_RANK
from notifier.states import EntryKind, Priority


@dataclass(frozen=True, kw_only=True)
class ServiceBacklog:
    """Due work of one service and one priority, which may be claimed in company."""

    priority: Priority
    service_id: UUID
    since: datetime  # when the oldest of it was due


@dataclass(frozen=True, kw_only=True)
class ClaimShare:
    """What one claim may take of one service and one priority."""

    priority: Priority
    service_id: UUID
    since: datetime  # nothing that was due before is looked for; what lies there is dead, or found by the next sweep
    share: int  # of the whole priority
    limit: int  # of this service


@dataclass(frozen=True, kw_only=True)
class ClaimRequest:
    """One request for work."""

    kind: EntryKind
    holder: UUID  # this process's boot id
    lease: timedelta
    started: float  # monotonic seconds before the claim was sent; the lease is counted from here
    shares: Sequence[ClaimShare] = ()
    capacity: int = 1  # how many in all
    reserve: int = 1  # of each priority before rank counts


def is_sqlite(connection: StatementConnection) -> bool:
    """Which of the two databases it is."""
    return bool(connection.dialect.name == "sqlite")


def bind_now(connection: StatementConnection, now: datetime | None) -> tuple[dict[str, Any], datetime]:
    """How to bind `:now`: PostgreSQL uses its own clock unless told; SQLite has no other than ours."""
    known = now or datetime.now(UTC)
    return {"now": format_sqlite_time(known) if is_sqlite(connection) else now}, known


async def list_backlogs(
    connection: StatementConnection, kind: EntryKind, *, now: datetime | None = None
) -> list[ServiceBacklog]:
    """Who has due work, of which priority, and since when."""
    statement = queue_sql.BACKLOG_SQLITE if is_sqlite(connection) else queue_sql.BACKLOG_POSTGRES
    rows = await connection.execute(statement, bind_now(connection, now)[0] | {"kind": kind.value})
    return [
        ServiceBacklog(priority=Priority(row.priority), service_id=row.service_id, since=row.due_at) for row in rows
    ]


async def claim_entries(
    connection: StatementConnection, wanted: ClaimRequest, *, now: datetime | None = None
) -> list[ClaimedEntry]:
    """Lease due `ready` entries, and only those: an expired lease is rescued first, never claimed."""
    sqlite = is_sqlite(connection)
    turns = json.dumps([_turn_row(number, turn, sqlite=sqlite) for number, turn in enumerate(wanted.shares)])
    values = {"turns": turns, "room": wanted.capacity, "reserve": wanted.reserve}
    statement = queue_sql.PICK_SQLITE if sqlite else queue_sql.CLAIM_POSTGRES
    return await _lease(connection, statement, wanted, values, now)


async def claim_suspect(
    connection: StatementConnection, wanted: ClaimRequest, *, now: datetime | None = None
) -> list[ClaimedEntry]:
    """Lease the oldest due entry that has been lost so often that it must be alone."""
    statement = queue_sql.PICK_SUSPECT_SQLITE if is_sqlite(connection) else queue_sql.CLAIM_SUSPECT_POSTGRES
    return await _lease(connection, statement, wanted, {}, now)


def _turn_row(number: int, turn: ClaimShare, *, sqlite: bool) -> dict[str, Any]:
    return {
        "turn": number,
        "priority": turn.priority.value,
        "service_id": turn.service_id.hex,
        "since": format_sqlite_time(turn.since) if sqlite else turn.since.isoformat(),
        "rank": PRIORITIES_BY_RANK.index(turn.priority),
        "share": turn.share,
        "most": turn.limit,
    }


async def _lease(
    connection: StatementConnection,
    statement: TextClause,
    wanted: ClaimRequest,
    values: dict[str, Any],
    now: datetime | None,
) -> list[ClaimedEntry]:
    bound, known = bind_now(connection, now)
    values = values | bound | {"kind": wanted.kind.value}
    if not is_sqlite(connection):
        values |= {"holder": wanted.holder, "lease": wanted.lease.total_seconds()}
    rows = [dict(row) for row in (await connection.execute(statement, values)).mappings()]
    if is_sqlite(connection) and rows:
        ids, ends = json.dumps([row["id"].hex for row in rows]), format_sqlite_time(known + wanted.lease)
        await connection.execute(queue_sql.LEASE_SQLITE, {"ids": ids, "holder": wanted.holder.hex, "ends": ends})
        rows = [row | {"lease_no": row["lease_no"] + 1} for row in rows]
    rows.sort(key=lambda row: (row["due_at"], row["id"]))
    return [build_claimed_entry(row, lease_ends=wanted.started + wanted.lease.total_seconds()) for row in rows]


def build_claimed_entry(row: dict[str, Any], *, lease_ends: float = 0.0) -> ClaimedEntry:
    """An entry as it stands in a row; `lease_ends` in monotonic seconds, where the lease is our own."""
    return ClaimedEntry(**{**row, "priority": Priority(row["priority"])}, lease_ends=lease_ends)


async def has_due_suspect(connection: StatementConnection, kind: EntryKind, *, now: datetime | None = None) -> bool:
    """True if an entry is due that must be claimed alone."""
    statement = queue_sql.SUSPECTED_SQLITE if is_sqlite(connection) else queue_sql.SUSPECTED_POSTGRES
    values = bind_now(connection, now)[0] | {"kind": kind.value}
    return (await connection.execute(statement, values)).first() is not None


async def release_orphans(
    connection: StatementConnection, wanted: ClaimRequest, known: Collection[UUID], *, now: datetime | None = None
) -> int:
    """Give back what a holder has claimed without ever hearing of it: all of the kind but the `known`; how many."""
    bound = bind_now(connection, now)[0] | {"kind": wanted.kind.value}
    if is_sqlite(connection):
        ids = json.dumps([id_.hex for id_ in known])
        values = bound | {"holder": wanted.holder.hex, "ids": ids}
        return len((await connection.execute(queue_sql.RELEASE_ORPHANS_SQLITE, values)).all())
    values = bound | {"holder": wanted.holder, "ids": list(known)}
    return len((await connection.execute(queue_sql.RELEASE_ORPHANS_POSTGRES, values)).all())
