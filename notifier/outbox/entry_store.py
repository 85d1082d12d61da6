"""What can be done with the queue, in trip order: enqueue, mark, settle, rescue, withdraw, look.

Each function runs one or two statements of `notifier.outbox.queue_sql`, on both databases with the same result. Times
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

from notifier.db import row_parameter
from notifier.db.column_types import format_sqlite_time
from notifier.db.direct_connections import StatementConnection
from notifier.db.tables import OutboxEntry, get_columns
from notifier.outbox import leasing, queue_sql
from notifier.outbox.handler import (
    ClaimedEntry,
    Fence,
    FinishEntry,
    HoldEntry,
    LostClaim,
    NewEntry,
    ReleaseEntry,
    RescheduleEntry,
    Settlement,
)
from notifier.outbox.leasing import bind_now, build_claimed_entry, is_sqlite
from notifier.states import EntryKind, EntryState, Priority

MAX_LOSSES = 4
"""Two losses in company and then two alone: the next one, the third alone, ends it."""
_ALONE_DELAY = (timedelta(seconds=10), timedelta(seconds=60))
_entry_columns = get_columns(OutboxEntry)
SUBJECT_INDEX_CONDITION = _entry_columns.attempts >= literal(0, literal_execute=True)
"""What is said beside service and subject to find an entry by them: the words of that index."""
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class LeaseSelection:
    """Which leases a rescue is about: one holder's, all of them, or (neither) those that are over."""

    kind: EntryKind
    holder: UUID | None = None
    all: bool = False  # only on SQLite at start, under the lock of the data directory

    @property
    def name(self) -> str:
        """The key of the statement."""
        return "all" if self.all else "holder" if self.holder is not None else "overrun"


def _to_batch(entries: Sequence[ClaimedEntry]) -> str:
    return row_parameter.encode_rows([{"id": entry.id, "lease_no": entry.lease_no} for entry in entries], sqlite=False)


async def _read_fences(connection: StatementConnection, statement: TextClause, values: dict[str, Any]) -> set[Fence]:
    return {tuple(row) for row in await connection.execute(statement, values)}


# 1. Enqueue -----------------------------------------------------------------------------------------------------------


async def enqueue_entries(connection: StatementConnection, entries: Sequence[NewEntry]) -> None:
    """Write intents to do work, in the transaction that writes what they are about."""
    if entries:
        new = {"state": EntryState.READY, "lease_no": 0, "attempts": 0, "lost": 0, "faults": 0}
        await connection.execute(insert(OutboxEntry), [vars(entry) | new for entry in entries])


# 2. Mark --------------------------------------------------------------------------------------------------------------


async def mark_entries(
    connection: StatementConnection,
    holder: UUID,
    entries: Sequence[ClaimedEntry],
    *,
    wanted: str = "1 = 1",
    now: datetime | None = None,
) -> set[Fence]:
    """Permit the bodies of these entries; the (id, lease_no) of those that are still this holder's and still `wanted`.

    `wanted` is the handler's condition, in SQL.
    """
    values = bind_now(connection, now)[0] | {"batch": _to_batch(entries)}
    if is_sqlite(connection):
        return await _read_fences(connection, queue_sql.build_mark_sqlite(wanted), values | {"holder": holder.hex})
    return await _read_fences(connection, queue_sql.build_mark_postgres(wanted), values | {"holder": holder})


# 3. Settle ------------------------------------------------------------------------------------------------------------


async def settle_entries(
    connection: StatementConnection, batch: Sequence[Settlement], *, now: datetime | None = None
) -> list[Settlement]:
    """Apply each settlement's action; return those whose fence held. The others lost their lease to somebody else."""
    bound, known = bind_now(connection, now)
    sqlite = is_sqlite(connection)
    held: set[Fence] = set()
    if finished := [s.entry for s in batch if isinstance(s.action, FinishEntry)]:
        statement = queue_sql.FINISH_SQLITE if sqlite else queue_sql.FINISH_POSTGRES
        held |= await _read_fences(connection, statement, {"batch": _to_batch(finished)})
    if put_back := [s for s in batch if not isinstance(s.action, FinishEntry)]:
        changed = [_row_put_back(s, known if sqlite else None) for s in put_back]
        statement = queue_sql.PUT_BACK_SQLITE if sqlite else queue_sql.PUT_BACK_POSTGRES
        held |= await _read_fences(connection, statement, {"batch": json.dumps(changed)} | ({} if sqlite else bound))
    return [s for s in batch if s.entry.fence in held]


def _row_put_back(settlement: Settlement, sqlite_now: datetime | None) -> dict[str, Any]:
    """One row of the batch; SQLite gets its due time computed, PostgreSQL adds the delay to its own clock."""
    entry, action = settlement.entry, settlement.action
    delay, due_at = timedelta(0), None
    attempts, faults, fault = entry.attempts, entry.faults, entry.fault
    match action:
        case RescheduleEntry():
            delay, attempts, faults, fault = action.delay, action.attempts, action.faults, action.fault
        case ReleaseEntry():
            due_at = entry.due_at
        case HoldEntry():
            delay, due_at = action.delay or delay, None if action.delay is not None else _NEVER
            attempts = attempts if action.attempts is None else action.attempts
    if sqlite_now is not None:
        due = format_sqlite_time(due_at or sqlite_now + delay)
    else:
        due = due_at.isoformat() if due_at else None  # type: ignore[assignment]
    return {
        "id": entry.id.hex,
        "lease_no": entry.lease_no,
        "state": EntryState.HELD if isinstance(action, HoldEntry) else EntryState.READY,
        "due_at": due,
        "delay": delay.total_seconds(),
        "attempts": attempts,
        "faults": faults,
        "fault": fault,
    }


async def delete_proven(connection: StatementConnection, entries: Sequence[ClaimedEntry]) -> None:
    """Their work is known to be done: delete them, whoever holds them by now, unless it may have begun again."""
    statement = queue_sql.PROVE_SQLITE if is_sqlite(connection) else queue_sql.PROVE_POSTGRES
    await connection.execute(statement, {"batch": _to_batch(entries)})


# 4. Rescue ------------------------------------------------------------------------------------------------------------


async def lock_lost_claims(
    connection: StatementConnection, whose: LeaseSelection, *, limit: int = 500, now: datetime | None = None
) -> list[LostClaim]:
    """Claims of the dead that need the handler's word, locked: a mark was given, or they were lost too often."""
    values = _rescue_values(connection, whose, now) | {"limit": limit}
    texts = queue_sql.LOST_SQLITE if is_sqlite(connection) else queue_sql.LOST_POSTGRES
    found = [dict(row) for row in (await connection.execute(texts[whose.name], values)).mappings()]
    return [LostClaim(marked_at=row.pop("marked_at"), entry=build_claimed_entry(row)) for row in found]


async def rescue_unmarked(
    connection: StatementConnection, whose: LeaseSelection, *, now: datetime | None = None
) -> int:
    """Make the other claims of the dead ready again, due now, and return how many."""
    values = _rescue_values(connection, whose, now)
    if not is_sqlite(connection):
        return len((await connection.execute(queue_sql.RESCUE_POSTGRES[whose.name], values)).all())
    known = now or datetime.now(UTC)
    values |= dict(zip(("soon", "later"), (format_sqlite_time(known + delay) for delay in _ALONE_DELAY), strict=True))
    return len((await connection.execute(queue_sql.RESCUE_SQLITE[whose.name], values)).all())


def _rescue_values(connection: StatementConnection, whose: LeaseSelection, now: datetime | None) -> dict[str, Any]:
    values, known = bind_now(connection, now)
    values |= {"kind": whose.kind.value, "most": MAX_LOSSES}
    if whose.holder is not None:
        values["holder"] = whose.holder.hex if is_sqlite(connection) else whose.holder
    elif not whose.all and is_sqlite(connection):
        values["begun"] = format_sqlite_time(known - queue_sql.BODY_LEASE)
    return values


async def check_overdue(
    connection: StatementConnection, kind: EntryKind, *, now: datetime | None = None
) -> tuple[bool, bool]:
    """Whether there is a lease that is over, and whether there is a held entry whose time has come."""
    statement = queue_sql.OVERDUE_SQLITE if is_sqlite(connection) else queue_sql.OVERDUE_POSTGRES
    values, known = bind_now(connection, now)
    values |= {"kind": kind.value}
    if is_sqlite(connection):
        values["begun"] = format_sqlite_time(known - queue_sql.BODY_LEASE)
    row = (await connection.execute(statement, values)).one()
    return bool(row.overrun), bool(row.ripe)


async def release_expired_holds(connection: StatementConnection, *, now: datetime | None = None) -> int:
    """Make held entries whose time is over ready, so that they are closed; how many."""
    statement = queue_sql.RELEASE_HOLDS_SQLITE if is_sqlite(connection) else queue_sql.RELEASE_HOLDS_POSTGRES
    return len((await connection.execute(statement, bind_now(connection, now)[0])).all())


# 5. Withdraw, look ----------------------------------------------------------------------------------------------------


async def withdraw_entry(connection: StatementConnection, service_id: UUID, subject_id: UUID) -> bool:
    """Take the work on a subject back while no body may have begun; False if one may have, and the entry stays."""
    await withdraw_entries(connection, service_id, [subject_id])
    left = await connection.execute(queue_sql.COUNT_OF_SUBJECT, {"service": service_id, "subject": subject_id})
    return int(left.scalar_one()) == 0


async def withdraw_entries(
    connection: StatementConnection, service_id: UUID, subject_ids: Sequence[UUID]
) -> list[UUID]:
    """Take the work on these subjects of a service back where no body may have begun; those of which it was."""
    if is_sqlite(connection):
        values: dict[str, Any] = {"service": service_id, "subjects": json.dumps([id_.hex for id_ in subject_ids])}
        found = await connection.execute(queue_sql.WITHDRAW_SQLITE, values)
    else:
        values = {"service": service_id, "subjects": list(subject_ids)}
        found = await connection.execute(queue_sql.WITHDRAW_POSTGRES, values)
    return [row.subject_id for row in found]


async def release_leases(
    connection: AsyncConnection, kind: EntryKind, service_id: UUID, condition: str, values: dict[str, UUID]
) -> None:
    """Give back what is leased of a service and not marked, where the condition, SQL on `e`, holds.

    The fence stays, as after a rescue: a late settle still counts, and a late mark is refused.
    """
    ids = {"service": service_id, **values}
    statement = queue_sql.build_release(condition, sqlite=is_sqlite(connection))
    statement = statement.bindparams(*(bindparam(name, type_=_entry_columns.id.type) for name in ids))
    await connection.execute(statement, bind_now(connection, None)[0] | ids | {"kind": kind.value})


async def lock_entries(connection: StatementConnection, service_id: UUID, subject_ids: Sequence[UUID]) -> None:
    """Let nobody settle work on these subjects until this transaction ends; SQLite has one writer anyway."""
    if not is_sqlite(connection):
        await connection.execute(queue_sql.LOCK_POSTGRES, {"service": service_id, "subjects": list(subject_ids)})


async def get_due_ages(connection: StatementConnection, kind: EntryKind, now: datetime) -> dict[Priority, float]:
    """Seconds by which the oldest due entry of each priority is late; 0 where nothing is due."""
    ages = dict.fromkeys(Priority, 0.0)
    for one in await leasing.list_backlogs(connection, kind, now=now):
        ages[one.priority] = max(ages[one.priority], (now - one.since).total_seconds())
    return ages


async def count_due(
    connection: StatementConnection, kind: EntryKind, *, most: int, now: datetime | None = None
) -> dict[tuple[Priority, UUID], int]:
    """How many due entries each service has of each priority, counted up to `most`; who has none is left out."""
    statement = queue_sql.WAITING_SQLITE if is_sqlite(connection) else queue_sql.WAITING_POSTGRES
    values = bind_now(connection, now)[0] | {"kind": kind.value, "most": most}
    found = await connection.execute(statement, values)
    return {(Priority(row.priority), row.service_id): int(row.waiting) for row in found if row.waiting}


async def get_due_times(
    connection: AsyncConnection, service_id: UUID, subjects: Sequence[UUID]
) -> dict[UUID, datetime]:
    """When the work on each of these subjects of a service is due, where there is any: a lease shows as its end."""
    statement = select(_entry_columns.subject_id, _entry_columns.due_at).where(
        SUBJECT_INDEX_CONDITION, _entry_columns.service_id == service_id, _entry_columns.subject_id.in_(subjects)
    )
    return {row.subject_id: row.due_at for row in await connection.execute(statement)}


async def count_by_state(connection: StatementConnection) -> dict[EntryState, int]:
    """How many entries are in each state."""
    found = {EntryState(row.state): int(row.depth) for row in await connection.execute(queue_sql.COUNT_BY_STATE)}
    return {state: found.get(state, 0) for state in EntryState}
