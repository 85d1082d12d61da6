"""Leasing what is due: who has a backlog, a claim of it, and giving back what was leased without our hearing of it.

The claim's half of `notifier.outbox.store`, and made like it: statements of `notifier.outbox.statements`, the same
result on both databases, times from the database's clock unless a caller hands in `now`, and no commits.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause

from notifier.db.columns import sqlite_time
from notifier.db.direct import Connection
from notifier.outbox import statements
from notifier.outbox.handler import Claimed
from notifier.outbox.statements import RANKED
from notifier.states import EntryKind, Priority


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """Due work of one service and one priority, which may be claimed in company."""

    priority: Priority
    service_id: UUID
    since: datetime  # when the oldest of it was due


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one claim may take of one service and one priority."""

    priority: Priority
    service_id: UUID
    since: datetime  # nothing that was due before is looked for; what lies there is dead, or found by the next sweep
    share: int  # of the whole priority
    most: int  # of this service


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One request for work."""

    kind: EntryKind
    holder: UUID  # this process's boot id
    lease: timedelta
    started: float  # monotonic seconds before the claim was sent; the lease is counted from here
    turns: Sequence[Turn] = ()
    room: int = 1  # how many in all
    reserve: int = 1  # of each priority before rank counts


def is_sqlite(connection: Connection) -> bool:
    """Which of the two databases it is."""
    return bool(connection.dialect.name == "sqlite")


def times(connection: Connection, now: datetime | None) -> tuple[dict[str, Any], datetime]:
    """How to bind `:now`: PostgreSQL uses its own clock unless told; SQLite has no other than ours."""
    known = now or datetime.now(UTC)
    return {"now": sqlite_time(known) if is_sqlite(connection) else now}, known


async def backlog(connection: Connection, kind: EntryKind, *, now: datetime | None = None) -> list[Backlog]:
    """Who has due work, of which priority, and since when."""
    statement = statements.BACKLOG_SQLITE if is_sqlite(connection) else statements.BACKLOG_POSTGRES
    rows = await connection.execute(statement, times(connection, now)[0] | {"kind": kind.value})
    return [Backlog(priority=Priority(row.priority), service_id=row.service_id, since=row.due_at) for row in rows]


async def claim(connection: Connection, wanted: Claim, *, now: datetime | None = None) -> list[Claimed]:
    """Lease due `ready` entries, and only those: an expired lease is rescued first, never claimed."""
    sqlite = is_sqlite(connection)
    turns = json.dumps([_turn_row(number, turn, sqlite=sqlite) for number, turn in enumerate(wanted.turns)])
    values = {"turns": turns, "room": wanted.room, "reserve": wanted.reserve}
    statement = statements.PICK_SQLITE if sqlite else statements.CLAIM_POSTGRES
    return await _lease(connection, statement, wanted, values, now)


async def claim_suspect(connection: Connection, wanted: Claim, *, now: datetime | None = None) -> list[Claimed]:
    """Lease the oldest due entry that has been lost so often that it must be alone."""
    statement = statements.PICK_SUSPECT_SQLITE if is_sqlite(connection) else statements.CLAIM_SUSPECT_POSTGRES
    return await _lease(connection, statement, wanted, {}, now)


def _turn_row(number: int, turn: Turn, *, sqlite: bool) -> dict[str, Any]:
    return {
        "turn": number,
        "priority": turn.priority.value,
        "service_id": turn.service_id.hex,
        "since": sqlite_time(turn.since) if sqlite else turn.since.isoformat(),
        "rank": RANKED.index(turn.priority),
        "share": turn.share,
        "most": turn.most,
    }


async def _lease(
    connection: Connection, statement: TextClause, wanted: Claim, values: dict[str, Any], now: datetime | None
) -> list[Claimed]:
    bound, known = times(connection, now)
    values = values | bound | {"kind": wanted.kind.value}
    if not is_sqlite(connection):
        values |= {"holder": wanted.holder, "lease": wanted.lease.total_seconds()}
    rows = [dict(row) for row in (await connection.execute(statement, values)).mappings()]
    if is_sqlite(connection) and rows:
        ids, ends = json.dumps([row["id"].hex for row in rows]), sqlite_time(known + wanted.lease)
        await connection.execute(statements.LEASE_SQLITE, {"ids": ids, "holder": wanted.holder.hex, "ends": ends})
        rows = [row | {"lease_no": row["lease_no"] + 1} for row in rows]
    rows.sort(key=lambda row: (row["due_at"], row["id"]))
    return [claimed(row, lease_ends=wanted.started + wanted.lease.total_seconds()) for row in rows]


def claimed(row: dict[str, Any], *, lease_ends: float = 0.0) -> Claimed:
    """An entry as it stands in a row; `lease_ends` in monotonic seconds, where the lease is our own."""
    return Claimed(**{**row, "priority": Priority(row["priority"])}, lease_ends=lease_ends)


async def suspected(connection: Connection, kind: EntryKind, *, now: datetime | None = None) -> bool:
    """True if an entry is due that must be claimed alone."""
    statement = statements.SUSPECTED_SQLITE if is_sqlite(connection) else statements.SUSPECTED_POSTGRES
    values = times(connection, now)[0] | {"kind": kind.value}
    return (await connection.execute(statement, values)).first() is not None


async def disown(connection: Connection, wanted: Claim, known: Collection[UUID], *, now: datetime | None = None) -> int:
    """Give back what a holder has claimed without ever hearing of it: all of the kind but the `known`; how many."""
    bound = times(connection, now)[0] | {"kind": wanted.kind.value}
    if is_sqlite(connection):
        ids = json.dumps([id_.hex for id_ in known])
        values = bound | {"holder": wanted.holder.hex, "ids": ids}
        return len((await connection.execute(statements.DISOWN_SQLITE, values)).all())
    values = bound | {"holder": wanted.holder, "ids": list(known)}
    return len((await connection.execute(statements.DISOWN_POSTGRES, values)).all())
