"""Operations on the queue in trip order: enqueue, mark, settle, rescue, withdraw.

Each function runs one or two statements of `notifier.outbox.queue_sql`, with the same result on both databases. Times
come from the database's clock, unless a caller (SQLite, tests) passes `now`. Nothing here commits. Claiming is in
`notifier.outbox.claim_sql`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db import dialect
from notifier.db.dialect import DialectStatement, bind_now, is_sqlite
from notifier.db.direct_connections import StatementConnection
from notifier.db.table_base import format_sqlite_time
from notifier.db.tables import OutboxEntry, get_columns
from notifier.ids import generate_id
from notifier.outbox import queue_sql
from notifier.outbox.claim_sql import build_claimed_entry
from notifier.outbox.entry_handler import (
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
from notifier.states import EntryKind, EntryState

MAX_LOSSES = 4
"""Losses before the last one: two while other entries ran beside it, and two while it ran alone. The next ends it."""
_ALONE_DELAYS = (timedelta(seconds=10), timedelta(seconds=60))
_entry_columns = get_columns(OutboxEntry)
SUBJECT_INDEX_CONDITION = _entry_columns.attempts >= literal(0, literal_execute=True)
"""The condition of the index by service and subject; a query that looks an entry up by them must repeat it."""
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class LeaseSelection:
    """Which leases a rescue is about: those of one holder, all of them, or (neither) the expired ones."""

    kind: EntryKind
    holder: UUID | None = None
    all: bool = False  # only on SQLite at start, under the lock of the data directory

    @property
    def name(self) -> str:
        """The key of the statement."""
        return "all" if self.all else "holder" if self.holder is not None else "overrun"


def _to_batch(entries: Sequence[ClaimedEntry]) -> str:
    return dialect.encode_rows([{"id": entry.id, "lease_no": entry.lease_no} for entry in entries], sqlite=False)


async def _read_fences(
    connection: StatementConnection, statement: DialectStatement, values: dict[str, Any]
) -> set[Fence]:
    return {tuple(row) for row in await connection.execute(statement.for_connection(connection), values)}


# 1. Enqueue -----------------------------------------------------------------------------------------------------------


async def enqueue_entries(connection: StatementConnection, entries: Sequence[NewEntry]) -> None:
    """Write entries, in the transaction that writes what they are about."""
    if entries:
        initial = {"state": EntryState.READY, "lease_no": 0, "attempts": 0, "lost": 0, "faults": 0}
        await connection.execute(insert(OutboxEntry), [vars(entry) | initial for entry in entries])


# 2. Mark --------------------------------------------------------------------------------------------------------------


async def mark_entries(
    connection: StatementConnection,
    holder: UUID,
    entries: Sequence[ClaimedEntry],
    *,
    still_wanted: str = "1 = 1",
    now: datetime | None = None,
) -> set[Fence]:
    """Permit the bodies of these entries; return the fences of those that are still this holder's and still wanted.

    `still_wanted` is the handler's condition, in SQL.
    """
    values = bind_now(connection, now)[0] | {"batch": _to_batch(entries)}
    values["holder"] = holder.hex if is_sqlite(connection) else holder
    return await _read_fences(connection, queue_sql.build_mark(still_wanted), values)


async def lock_claim(connection: StatementConnection, entry: ClaimedEntry) -> bool:
    """Keep others from claiming or withdrawing the entry until this transaction ends; False if its fence is lost."""
    statement = queue_sql.LOCK_CLAIM.for_connection(connection)
    return (await connection.execute(statement, {"id": entry.id, "lease_no": entry.lease_no})).first() is not None


async def clear_losses(connection: StatementConnection, entry: ClaimedEntry) -> None:
    """Forget the losses of a locked entry, because a part of its work has been committed."""
    statement = queue_sql.CLEAR_LOSSES.for_connection(connection)
    await connection.execute(statement, {"id": entry.id, "lease_no": entry.lease_no})


# 3. Settle ------------------------------------------------------------------------------------------------------------


async def settle_entries(
    connection: StatementConnection, batch: Sequence[Settlement], *, now: datetime | None = None
) -> list[Settlement]:
    """Apply each settlement's action; return those whose fence held. The others lost their lease to another process."""
    bound, time = bind_now(connection, now)
    sqlite = is_sqlite(connection)
    fences: set[Fence] = set()
    if finished := [settlement.entry for settlement in batch if isinstance(settlement.action, FinishEntry)]:
        fences |= await _read_fences(connection, queue_sql.FINISH, {"batch": _to_batch(finished)})
    if put_back := [settlement for settlement in batch if not isinstance(settlement.action, FinishEntry)]:
        changes = json.dumps([_build_change(settlement, time if sqlite else None) for settlement in put_back])
        fences |= await _read_fences(connection, queue_sql.PUT_BACK, {"batch": changes} | ({} if sqlite else bound))
    return [settlement for settlement in batch if settlement.entry.fence in fences]


def _build_change(settlement: Settlement, sqlite_now: datetime | None) -> dict[str, Any]:
    """Build one row of the batch. SQLite gets the due time computed; PostgreSQL adds the delay to its own clock."""
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
    """Delete entries whose work is proven to be done, whoever holds them, unless it may have begun again."""
    await connection.execute(queue_sql.DELETE_PROVEN.for_connection(connection), {"batch": _to_batch(entries)})


# 4. Rescue ------------------------------------------------------------------------------------------------------------


async def lock_lost_claims(
    connection: StatementConnection, selection: LeaseSelection, *, limit: int = 500, now: datetime | None = None
) -> list[LostClaim]:
    """Lock and return the lost claims that the handler must decide about: marked ones, and those lost too often."""
    values = _bind_rescue(connection, selection, now) | {"limit": limit}
    statement = queue_sql.LOST[selection.name].for_connection(connection)
    claims = [dict(row) for row in (await connection.execute(statement, values)).mappings()]
    return [LostClaim(marked_at=row.pop("marked_at"), entry=build_claimed_entry(row)) for row in claims]


async def rescue_unmarked(
    connection: StatementConnection, selection: LeaseSelection, *, now: datetime | None = None
) -> int:
    """Make the other lost claims ready again, and return how many; one that ran alone is due after a delay."""
    values = _bind_rescue(connection, selection, now)
    if is_sqlite(connection):
        time = now or datetime.now(UTC)
        values |= dict(
            zip(("soon", "later"), (format_sqlite_time(time + delay) for delay in _ALONE_DELAYS), strict=True)
        )
    statement = queue_sql.RESCUE[selection.name].for_connection(connection)
    return len((await connection.execute(statement, values)).all())


async def has_leases(connection: AsyncConnection, holder: UUID) -> bool:
    """Return True while a process holds an entry: a rescue passes over what an open transaction locks."""
    held = _entry_columns.state == EntryState.LEASED, _entry_columns.leased_by == holder
    return (await connection.execute(select(_entry_columns.id).where(*held).limit(1))).first() is not None


def _bind_rescue(connection: StatementConnection, selection: LeaseSelection, now: datetime | None) -> dict[str, Any]:
    values, time = bind_now(connection, now)
    values |= {"kind": selection.kind.value, "most": MAX_LOSSES}
    if selection.holder is not None:
        values["holder"] = selection.holder.hex if is_sqlite(connection) else selection.holder
    elif not selection.all and is_sqlite(connection):
        values["begun"] = format_sqlite_time(time - queue_sql.BODY_LEASE)
    return values


async def list_overdue(
    connection: StatementConnection, *, now: datetime | None = None
) -> tuple[frozenset[EntryKind], bool]:
    """List the kinds with an expired lease; and whether there is an expired hold."""
    values, time = bind_now(connection, now)
    if is_sqlite(connection):
        values["begun"] = format_sqlite_time(time - queue_sql.BODY_LEASE)
    rows = (await connection.execute(queue_sql.OVERDUE.for_connection(connection), values)).all()
    expired = frozenset(EntryKind(row.kind) for row in rows if row.state == EntryState.LEASED)
    return expired, any(row.state == EntryState.HELD for row in rows)


async def release_expired_holds(connection: StatementConnection, *, now: datetime | None = None) -> int:
    """Make entries whose hold has expired ready, so that they are closed; return how many."""
    statement = queue_sql.RELEASE_HOLDS.for_connection(connection)
    return len((await connection.execute(statement, bind_now(connection, now)[0])).all())


async def mark_restored(
    connection: StatementConnection, kind: EntryKind, may_have_begun: str, *, now: datetime | None = None
) -> int:
    """Make entries of a restored backup those of a sender that died after the mark; return how many.

    `may_have_begun` is SQL on `e`, with `{now}`. The next sender to start recovers them. No sender may run.
    """
    values, time = bind_now(connection, now)
    if is_sqlite(connection):
        values["begun"] = format_sqlite_time(time - queue_sql.BODY_LEASE)
    statement = queue_sql.build_restored_mark(may_have_begun).for_connection(connection)
    values |= {"kind": kind.value, "holder": generate_id()}
    return len((await connection.execute(statement, values)).all())


# 5. Withdraw ---------------------------------------------------------------------------------------------------


async def withdraw_entry(connection: StatementConnection, service_id: UUID, subject_id: UUID) -> bool:
    """Delete a subject's entry while no body may have begun; return False if one may have, and the entry stays."""
    await withdraw_entries(connection, service_id, [subject_id])
    count = await connection.execute(queue_sql.COUNT_OF_SUBJECT, {"service": service_id, "subject": subject_id})
    return int(count.scalar_one()) == 0


async def withdraw_entries(
    connection: StatementConnection, service_id: UUID, subject_ids: Sequence[UUID]
) -> list[UUID]:
    """Delete the entries of a service's subjects where no body may have begun; return the subjects of those deleted."""
    subjects = json.dumps([id_.hex for id_ in subject_ids]) if is_sqlite(connection) else list(subject_ids)
    statement = queue_sql.WITHDRAW.for_connection(connection)
    deleted = await connection.execute(statement, {"service": service_id, "subjects": subjects})
    return [row.subject_id for row in deleted]


async def release_leases(
    connection: AsyncConnection, kind: EntryKind, service_id: UUID, condition: str, values: dict[str, UUID]
) -> None:
    """Release the unmarked claims of a service for which `condition`, SQL on `e`, holds.

    The fence stays, as after a rescue: a late settle still counts, and a late mark is refused.
    """
    ids = {"service": service_id, **values}
    statement = queue_sql.build_release(condition).for_connection(connection)
    statement = statement.bindparams(*(bindparam(name, type_=_entry_columns.id.type) for name in ids))
    await connection.execute(statement, bind_now(connection, None)[0] | ids | {"kind": kind.value})


async def lock_entries(connection: StatementConnection, service_id: UUID, subject_ids: Sequence[UUID]) -> None:
    """Keep others from settling work on these subjects until this transaction ends; SQLite has one writer anyway."""
    if not is_sqlite(connection):
        await connection.execute(queue_sql.LOCK_POSTGRES, {"service": service_id, "subjects": list(subject_ids)})


async def get_due_times(
    connection: AsyncConnection, service_id: UUID, subjects: Sequence[UUID]
) -> dict[UUID, datetime]:
    """Return when the work on each of these subjects of a service is due, where there is any: a lease as its end."""
    statement = select(_entry_columns.subject_id, _entry_columns.due_at).where(
        SUBJECT_INDEX_CONDITION, _entry_columns.service_id == service_id, _entry_columns.subject_id.in_(subjects)
    )
    return {row.subject_id: row.due_at for row in await connection.execute(statement)}
