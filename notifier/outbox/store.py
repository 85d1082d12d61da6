"""What can be done with the queue, in trip order: enqueue, claim, mark, settle, rescue, withdraw, look.

Each function runs one or two of the statements beside it, on both databases with the same result. Times come from
the database's clock, unless a caller (SQLite, tests) hands in `now`. Nothing here commits.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.columns import sqlite_time
from notifier.db.tables import OutboxEntry
from notifier.outbox import statements
from notifier.outbox.handler import Claimed, Fence, Finish, Hold, Lost, NewEntry, Quota, Release, Reschedule, Settlement
from notifier.outbox.statements import RANKED
from notifier.states import EntryKind, EntryState, Priority

MOST_LOST = 4
"""Two losses in company and then two alone: the next one, the third alone, ends it."""
_ALONE_DELAY = (timedelta(seconds=10), timedelta(seconds=60))
_FOR_GOOD = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One request for work."""

    kind: EntryKind
    holder: UUID  # this process's boot id
    lease: timedelta
    quota: Quota
    started: float  # monotonic seconds before the claim was sent; the lease is counted from here
    suspects: bool = False  # entries lost so often that each must be alone, and nothing else


@dataclass(frozen=True, kw_only=True)
class Whose:
    """Which leases a rescue is about: one holder's, all of them, or (neither) those that are over."""

    kind: EntryKind
    holder: UUID | None = None
    all: bool = False  # only on SQLite at start, under the lock of the data directory

    @property
    def name(self) -> str:
        """The key of the statement."""
        return "all" if self.all else "holder" if self.holder is not None else "overrun"


def _is_sqlite(connection: AsyncConnection) -> bool:
    return connection.dialect.name == "sqlite"


def _times(connection: AsyncConnection, now: datetime | None) -> tuple[dict[str, Any], datetime]:
    """How to bind `:now`: PostgreSQL uses its own clock unless told; SQLite has no other than ours."""
    known = now or datetime.now(UTC)
    return {"now": sqlite_time(known) if _is_sqlite(connection) else now}, known


def _json(entries: Sequence[Claimed]) -> str:
    return json.dumps([{"id": entry.id.hex, "lease_no": entry.lease_no} for entry in entries])


async def _keys(connection: AsyncConnection, statement: TextClause, values: dict[str, Any]) -> set[Fence]:
    return {(row.id, row.lease_no) for row in await connection.execute(statement, values)}


# 1. Enqueue and claim -------------------------------------------------------------------------------------------------


async def enqueue(connection: AsyncConnection, entries: Sequence[NewEntry]) -> None:
    """Write intents to do work, in the transaction that writes what they are about."""
    if entries:
        new = {"state": EntryState.READY, "lease_no": 0, "attempts": 0, "lost": 0, "faults": 0}
        await connection.execute(insert(OutboxEntry), [vars(entry) | new for entry in entries])


async def claim(connection: AsyncConnection, wanted: Claim, *, now: datetime | None = None) -> list[Claimed]:
    """Lease due `ready` entries, and only those: an expired lease is rescued first, never claimed."""
    bound, known = _times(connection, now)
    values: dict[str, Any] = bound | {p.value: wanted.quota.share[p] for p in RANKED}
    values |= {"kind": wanted.kind.value, "room": wanted.quota.room, "reserve": wanted.quota.reserve}
    if _is_sqlite(connection):
        rows = await _claim_sqlite(connection, wanted, values, ends=sqlite_time(known + wanted.lease))
    else:
        values |= {"holder": wanted.holder, "lease": wanted.lease.total_seconds()}
        found = await connection.execute(statements.CLAIM_POSTGRES[wanted.suspects], values)
        rows = [dict(row) for row in found.mappings()]
    rows.sort(key=lambda row: (row["due_at"], row["id"]))
    return [_claimed(row, lease_ends=wanted.started + wanted.lease.total_seconds()) for row in rows]


async def _claim_sqlite(
    connection: AsyncConnection, wanted: Claim, values: dict[str, Any], *, ends: str
) -> list[dict[str, Any]]:
    picked = await connection.execute(statements.PICK_SQLITE[wanted.suspects], values)
    rows = [dict(row) for row in picked.mappings()]
    if rows:
        ids = json.dumps([row["id"].hex for row in rows])
        leased = {"ids": ids, "holder": wanted.holder.hex, "ends": ends}
        await connection.execute(statements.LEASE_SQLITE, leased)
    return [row | {"lease_no": row["lease_no"] + 1} for row in rows]


def _claimed(row: dict[str, Any], *, lease_ends: float = 0.0) -> Claimed:
    return Claimed(**{**row, "priority": Priority(row["priority"])}, lease_ends=lease_ends)


async def suspected(connection: AsyncConnection, kind: EntryKind, *, now: datetime | None = None) -> bool:
    """True if an entry is due that must be claimed alone."""
    statement = statements.SUSPECTED_SQLITE if _is_sqlite(connection) else statements.SUSPECTED_POSTGRES
    values = _times(connection, now)[0] | {"kind": kind.value}
    return (await connection.execute(statement, values)).first() is not None


async def disown(
    connection: AsyncConnection, holder: UUID, known: Collection[UUID], *, now: datetime | None = None
) -> int:
    """Give back what `holder` has claimed without ever hearing of it: all but the `known` entries; how many."""
    bound, _ = _times(connection, now)
    if _is_sqlite(connection):
        ids = json.dumps([id_.hex for id_ in known])
        values = bound | {"holder": holder.hex, "ids": ids}
        return len((await connection.execute(statements.DISOWN_SQLITE, values)).all())
    values = bound | {"holder": holder, "ids": list(known)}
    return len((await connection.execute(statements.DISOWN_POSTGRES, values)).all())


# 2. Mark --------------------------------------------------------------------------------------------------------------


async def mark(
    connection: AsyncConnection,
    holder: UUID,
    entries: Sequence[Claimed],
    *,
    lease: timedelta,
    now: datetime | None = None,
) -> set[Fence]:
    """Permit the bodies of these entries; the (id, lease_no) of those that are still this holder's."""
    bound, known = _times(connection, now)
    values = bound | {"batch": _json(entries)}
    if _is_sqlite(connection):
        values |= {"holder": holder.hex, "ends": sqlite_time(known + lease)}
        return await _keys(connection, statements.MARK_SQLITE, values)
    values |= {"holder": holder, "lease": lease.total_seconds()}
    return await _keys(connection, statements.MARK_POSTGRES, values)


# 3. Settle ------------------------------------------------------------------------------------------------------------


async def settle(
    connection: AsyncConnection, batch: Sequence[Settlement], *, now: datetime | None = None
) -> list[Settlement]:
    """Apply each settlement's action; return those whose fence held. The others lost their lease to somebody else."""
    bound, known = _times(connection, now)
    sqlite = _is_sqlite(connection)
    held: set[Fence] = set()
    if finished := [s.entry for s in batch if isinstance(s.action, Finish)]:
        statement = statements.FINISH_SQLITE if sqlite else statements.FINISH_POSTGRES
        held |= await _keys(connection, statement, {"batch": _json(finished)})
    if put_back := [s for s in batch if not isinstance(s.action, Finish)]:
        rows = [_row_put_back(s, known if sqlite else None) for s in put_back]
        statement = statements.PUT_BACK_SQLITE if sqlite else statements.PUT_BACK_POSTGRES
        held |= await _keys(connection, statement, {"batch": json.dumps(rows)} | ({} if sqlite else bound))
    return [s for s in batch if s.entry.fence in held]


def _row_put_back(settlement: Settlement, sqlite_now: datetime | None) -> dict[str, Any]:
    """One row of the batch; SQLite gets its due time computed, PostgreSQL adds the delay to its own clock."""
    entry, action = settlement.entry, settlement.action
    delay, due_at = timedelta(0), None
    attempts, faults, fault = entry.attempts, entry.faults, entry.fault
    match action:
        case Reschedule():
            delay, attempts, faults, fault = action.delay, action.attempts, action.faults, action.fault
        case Release():
            due_at = entry.due_at
        case Hold():
            delay, due_at = action.delay or delay, None if action.delay is not None else _FOR_GOOD
            attempts = attempts if action.attempts is None else action.attempts
    if sqlite_now is not None:
        due = sqlite_time(due_at or sqlite_now + delay)
    else:
        due = due_at.isoformat() if due_at else None  # type: ignore[assignment]
    return {
        "id": entry.id.hex,
        "lease_no": entry.lease_no,
        "state": EntryState.HELD if isinstance(action, Hold) else EntryState.READY,
        "due_at": due,
        "delay": delay.total_seconds(),
        "attempts": attempts,
        "faults": faults,
        "fault": fault,
    }


async def prove(connection: AsyncConnection, entries: Sequence[Claimed]) -> None:
    """Their work is known to be done: delete them, whoever holds them by now, unless it may have begun again."""
    statement = statements.PROVE_SQLITE if _is_sqlite(connection) else statements.PROVE_POSTGRES
    await connection.execute(statement, {"batch": _json(entries)})


# 4. Rescue ------------------------------------------------------------------------------------------------------------


async def lost(
    connection: AsyncConnection, whose: Whose, *, limit: int = 500, now: datetime | None = None
) -> list[Lost]:
    """Claims of the dead that need the handler's word, locked: a mark was given, or they were lost too often."""
    values = _rescue_values(connection, whose, now) | {"limit": limit}
    texts = statements.LOST_SQLITE if _is_sqlite(connection) else statements.LOST_POSTGRES
    found = [dict(row) for row in (await connection.execute(texts[whose.name], values)).mappings()]
    return [Lost(marked_at=row.pop("marked_at"), entry=_claimed(row)) for row in found]


async def rescue(connection: AsyncConnection, whose: Whose, *, now: datetime | None = None) -> int:
    """Make the other claims of the dead ready again, due now, and return how many."""
    values = _rescue_values(connection, whose, now)
    if not _is_sqlite(connection):
        return len((await connection.execute(statements.RESCUE_POSTGRES[whose.name], values)).all())
    known = now or datetime.now(UTC)
    values |= dict(zip(("soon", "later"), (sqlite_time(known + delay) for delay in _ALONE_DELAY), strict=True))
    return len((await connection.execute(statements.RESCUE_SQLITE[whose.name], values)).all())


def _rescue_values(connection: AsyncConnection, whose: Whose, now: datetime | None) -> dict[str, Any]:
    values = _times(connection, now)[0] | {"kind": whose.kind.value, "most": MOST_LOST}
    if whose.holder is not None:
        values["holder"] = whose.holder.hex if _is_sqlite(connection) else whose.holder
    return values


async def ripen(connection: AsyncConnection, *, now: datetime | None = None) -> int:
    """Make held entries whose time is over ready, so that they are closed; how many."""
    statement = statements.RIPEN_SQLITE if _is_sqlite(connection) else statements.RIPEN_POSTGRES
    return len((await connection.execute(statement, _times(connection, now)[0])).all())


# 5. Withdraw, look ----------------------------------------------------------------------------------------------------


async def withdraw(connection: AsyncConnection, subject_id: UUID) -> bool:
    """Take the work on a subject back while no body may have begun; False if one may have, and the entry stays."""
    await connection.execute(statements.WITHDRAW, {"subject": subject_id})
    left = await connection.execute(statements.LEFT, {"subject": subject_id})
    return int(left.scalar_one()) == 0


async def due_age(connection: AsyncConnection, kind: EntryKind, now: datetime) -> dict[Priority, float]:
    """Seconds by which the oldest due entry of each priority is late; 0 where nothing is due."""
    rows = await connection.execute(statements.DUE_AGE, {"kind": kind.value})
    oldest = {Priority(row.priority): row.due_at for row in rows}
    return {p: max(0.0, (now - oldest[p]).total_seconds()) if p in oldest else 0.0 for p in Priority}


async def depth(connection: AsyncConnection) -> dict[EntryState, int]:
    """How many entries are in each state."""
    found = {EntryState(row.state): int(row.depth) for row in await connection.execute(statements.DEPTH)}
    return {state: found.get(state, 0) for state in EntryState}
