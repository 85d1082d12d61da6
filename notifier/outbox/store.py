"""What can be done with the queue, in trip order: enqueue, mark, settle, rescue, withdraw, look.

Each function runs one or two statements of `notifier.outbox.statements`, on both databases with the same result. Times
come from the database's clock, unless a caller (SQLite, tests) hands in `now`. Nothing here commits. Claiming has a
room of its own, `notifier.outbox.leasing`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, bindparam, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db import rows
from notifier.db.columns import sqlite_time
from notifier.db.direct import Connection
from notifier.db.tables import OutboxEntry, columns
from notifier.outbox import leasing, statements
from notifier.outbox.handler import Claimed, Fence, Finish, Hold, Lost, NewEntry, Release, Reschedule, Settlement
from notifier.outbox.leasing import claimed, is_sqlite, times
from notifier.states import EntryKind, EntryState, Priority

MOST_LOST = 4
"""Two losses in company and then two alone: the next one, the third alone, ends it."""
_ALONE_DELAY = (timedelta(seconds=10), timedelta(seconds=60))
_entry = columns(OutboxEntry)
BY_SUBJECT = _entry.attempts >= literal(0, literal_execute=True)
"""What is said beside service and subject to find an entry by them: the words of that index."""
_FOR_GOOD = datetime(9999, 12, 31, tzinfo=UTC)


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


def _json(entries: Sequence[Claimed]) -> str:
    return rows.parameter([{"id": entry.id, "lease_no": entry.lease_no} for entry in entries], sqlite=False)


async def _keys(connection: Connection, statement: TextClause, values: dict[str, Any]) -> set[Fence]:
    return {tuple(row) for row in await connection.execute(statement, values)}


# 1. Enqueue -----------------------------------------------------------------------------------------------------------


async def enqueue(connection: Connection, entries: Sequence[NewEntry]) -> None:
    """Write intents to do work, in the transaction that writes what they are about."""
    if entries:
        new = {"state": EntryState.READY, "lease_no": 0, "attempts": 0, "lost": 0, "faults": 0}
        await connection.execute(insert(OutboxEntry), [vars(entry) | new for entry in entries])


# 2. Mark --------------------------------------------------------------------------------------------------------------


async def mark(
    connection: Connection,
    holder: UUID,
    entries: Sequence[Claimed],
    *,
    wanted: str = "1 = 1",
    now: datetime | None = None,
) -> set[Fence]:
    """Permit the bodies of these entries; the (id, lease_no) of those that are still this holder's and still `wanted`.

    `wanted` is the handler's condition, in SQL.
    """
    values = times(connection, now)[0] | {"batch": _json(entries)}
    if is_sqlite(connection):
        return await _keys(connection, statements.mark_sqlite(wanted), values | {"holder": holder.hex})
    return await _keys(connection, statements.mark_postgres(wanted), values | {"holder": holder})


# 3. Settle ------------------------------------------------------------------------------------------------------------


async def settle(
    connection: Connection, batch: Sequence[Settlement], *, now: datetime | None = None
) -> list[Settlement]:
    """Apply each settlement's action; return those whose fence held. The others lost their lease to somebody else."""
    bound, known = times(connection, now)
    sqlite = is_sqlite(connection)
    held: set[Fence] = set()
    if finished := [s.entry for s in batch if isinstance(s.action, Finish)]:
        statement = statements.FINISH_SQLITE if sqlite else statements.FINISH_POSTGRES
        held |= await _keys(connection, statement, {"batch": _json(finished)})
    if put_back := [s for s in batch if not isinstance(s.action, Finish)]:
        changed = [_row_put_back(s, known if sqlite else None) for s in put_back]
        statement = statements.PUT_BACK_SQLITE if sqlite else statements.PUT_BACK_POSTGRES
        held |= await _keys(connection, statement, {"batch": json.dumps(changed)} | ({} if sqlite else bound))
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


async def prove(connection: Connection, entries: Sequence[Claimed]) -> None:
    """Their work is known to be done: delete them, whoever holds them by now, unless it may have begun again."""
    statement = statements.PROVE_SQLITE if is_sqlite(connection) else statements.PROVE_POSTGRES
    await connection.execute(statement, {"batch": _json(entries)})


# 4. Rescue ------------------------------------------------------------------------------------------------------------


async def lost(connection: Connection, whose: Whose, *, limit: int = 500, now: datetime | None = None) -> list[Lost]:
    """Claims of the dead that need the handler's word, locked: a mark was given, or they were lost too often."""
    values = _rescue_values(connection, whose, now) | {"limit": limit}
    texts = statements.LOST_SQLITE if is_sqlite(connection) else statements.LOST_POSTGRES
    found = [dict(row) for row in (await connection.execute(texts[whose.name], values)).mappings()]
    return [Lost(marked_at=row.pop("marked_at"), entry=claimed(row)) for row in found]


async def rescue(connection: Connection, whose: Whose, *, now: datetime | None = None) -> int:
    """Make the other claims of the dead ready again, due now, and return how many."""
    values = _rescue_values(connection, whose, now)
    if not is_sqlite(connection):
        return len((await connection.execute(statements.RESCUE_POSTGRES[whose.name], values)).all())
    known = now or datetime.now(UTC)
    values |= dict(zip(("soon", "later"), (sqlite_time(known + delay) for delay in _ALONE_DELAY), strict=True))
    return len((await connection.execute(statements.RESCUE_SQLITE[whose.name], values)).all())


def _rescue_values(connection: Connection, whose: Whose, now: datetime | None) -> dict[str, Any]:
    values, known = times(connection, now)
    values |= {"kind": whose.kind.value, "most": MOST_LOST}
    if whose.holder is not None:
        values["holder"] = whose.holder.hex if is_sqlite(connection) else whose.holder
    elif not whose.all and is_sqlite(connection):
        values["begun"] = sqlite_time(known - statements.BODY_LEASE)
    return values


async def overdue(connection: Connection, kind: EntryKind, *, now: datetime | None = None) -> tuple[bool, bool]:
    """Whether there is a lease that is over, and whether there is a held entry whose time has come."""
    statement = statements.OVERDUE_SQLITE if is_sqlite(connection) else statements.OVERDUE_POSTGRES
    values, known = times(connection, now)
    values |= {"kind": kind.value}
    if is_sqlite(connection):
        values["begun"] = sqlite_time(known - statements.BODY_LEASE)
    row = (await connection.execute(statement, values)).one()
    return bool(row.overrun), bool(row.ripe)


async def ripen(connection: Connection, *, now: datetime | None = None) -> int:
    """Make held entries whose time is over ready, so that they are closed; how many."""
    statement = statements.RIPEN_SQLITE if is_sqlite(connection) else statements.RIPEN_POSTGRES
    return len((await connection.execute(statement, times(connection, now)[0])).all())


# 5. Withdraw, look ----------------------------------------------------------------------------------------------------


async def withdraw(connection: Connection, service_id: UUID, subject_id: UUID) -> bool:
    """Take the work on a subject back while no body may have begun; False if one may have, and the entry stays."""
    await withdraw_all(connection, service_id, [subject_id])
    left = await connection.execute(statements.LEFT, {"service": service_id, "subject": subject_id})
    return int(left.scalar_one()) == 0


async def withdraw_all(connection: Connection, service_id: UUID, subject_ids: Sequence[UUID]) -> list[UUID]:
    """Take the work on these subjects of a service back where no body may have begun; those of which it was."""
    if is_sqlite(connection):
        values: dict[str, Any] = {"service": service_id, "subjects": json.dumps([id_.hex for id_ in subject_ids])}
        found = await connection.execute(statements.WITHDRAW_SQLITE, values)
    else:
        values = {"service": service_id, "subjects": list(subject_ids)}
        found = await connection.execute(statements.WITHDRAW_POSTGRES, values)
    return [row.subject_id for row in found]


async def release_where(
    connection: AsyncConnection, kind: EntryKind, service_id: UUID, condition: str, values: dict[str, UUID]
) -> None:
    """Give back what is leased of a service and not marked, where the condition, SQL on `e`, holds.

    The fence stays, as after a rescue: a late settle still counts, and a late mark is refused.
    """
    ids = {"service": service_id, **values}
    statement = statements.release(condition, sqlite=is_sqlite(connection))
    statement = statement.bindparams(*(bindparam(name, type_=_entry.id.type) for name in ids))
    await connection.execute(statement, times(connection, None)[0] | ids | {"kind": kind.value})


async def lock(connection: Connection, service_id: UUID, subject_ids: Sequence[UUID]) -> None:
    """Let nobody settle work on these subjects until this transaction ends; SQLite has one writer anyway."""
    if not is_sqlite(connection):
        await connection.execute(statements.LOCK_POSTGRES, {"service": service_id, "subjects": list(subject_ids)})


async def due_age(connection: Connection, kind: EntryKind, now: datetime) -> dict[Priority, float]:
    """Seconds by which the oldest due entry of each priority is late; 0 where nothing is due."""
    ages = dict.fromkeys(Priority, 0.0)
    for one in await leasing.backlog(connection, kind, now=now):
        ages[one.priority] = max(ages[one.priority], (now - one.since).total_seconds())
    return ages


async def waiting(
    connection: Connection, kind: EntryKind, *, most: int, now: datetime | None = None
) -> dict[tuple[Priority, UUID], int]:
    """How many due entries each service has of each priority, counted up to `most`; who has none is left out."""
    statement = statements.WAITING_SQLITE if is_sqlite(connection) else statements.WAITING_POSTGRES
    values = times(connection, now)[0] | {"kind": kind.value, "most": most}
    found = await connection.execute(statement, values)
    return {(Priority(row.priority), row.service_id): int(row.waiting) for row in found if row.waiting}


async def due(connection: AsyncConnection, service_id: UUID, subjects: Sequence[UUID]) -> dict[UUID, datetime]:
    """When the work on each of these subjects of a service is due, where there is any: a lease shows as its end."""
    statement = select(_entry.subject_id, _entry.due_at).where(
        BY_SUBJECT, _entry.service_id == service_id, _entry.subject_id.in_(subjects)
    )
    return {row.subject_id: row.due_at for row in await connection.execute(statement)}


async def depth(connection: Connection) -> dict[EntryState, int]:
    """How many entries are in each state."""
    found = {EntryState(row.state): int(row.depth) for row in await connection.execute(statements.DEPTH)}
    return {state: found.get(state, 0) for state in EntryState}
