"""All queue SQL, in trip order: enqueue, claim, settle, rescue, look; each statement with one line of purpose.

Where the two databases must differ, both texts stand one under the other. Every write after a claim carries the
fence (`id`, `lease_no`). Times come from the database's clock, unless a caller (SQLite, tests) hands in `now`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, bindparam, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from notifier.db.columns import UtcDateTime, sqlite_time
from notifier.db.tables import OutboxEntry, columns
from notifier.outbox.handler import Claimed, Finish, Hold, NewEntry, Quota, Release, Reschedule, Settlement
from notifier.states import EntryKind, EntryState, Priority

_RANKED = (Priority.HIGH, Priority.NORMAL, Priority.BULK)
_ID: TypeEngine[Any] = columns(OutboxEntry).id.type
_TIME = UtcDateTime()


def _is_sqlite(connection: AsyncConnection) -> bool:
    return connection.dialect.name == "sqlite"


def _now(connection: AsyncConnection, now: datetime | None) -> datetime | None:
    """The time to bind: PostgreSQL falls back to its own clock when it is None; SQLite has no other than ours."""
    return now or (datetime.now(UTC) if _is_sqlite(connection) else None)


# 1. Enqueue -----------------------------------------------------------------------------------------------------------


async def enqueue(connection: AsyncConnection, entries: Sequence[NewEntry]) -> None:
    """Write intents to do work, in the transaction that writes what they are about."""
    if entries:
        rows = [
            {**vars(entry), "state": EntryState.READY, "lease_no": 0, "attempts": 0, "lost": 0, "faults": 0}
            for entry in entries
        ]
        await connection.execute(insert(OutboxEntry), rows)


# 2. Claim -------------------------------------------------------------------------------------------------------------

# Due entries of one priority, oldest first; locked ones are somebody else's.
_DUE = """
  {name} AS MATERIALIZED (
    SELECT id, due_at, {rank} AS rank FROM outbox_entry
    WHERE state = 'ready' AND kind = :kind AND priority = '{name}' AND due_at <= {now}
    ORDER BY due_at, id LIMIT :{name} {lock})"""

# The best `room` of them: each priority gets its reserve first, then rank decides.
_PICKED = """
  waiting AS (
    SELECT id, due_at, rank, row_number() OVER (PARTITION BY rank ORDER BY due_at, id) AS place
    FROM (SELECT * FROM high UNION ALL SELECT * FROM normal UNION ALL SELECT * FROM bulk) AS due),
  picked AS {materialized} (
    SELECT id, due_at FROM waiting ORDER BY (place > :reserve), rank, place LIMIT :room)"""


def _due_and_picked(now: str, lock: str, materialized: str) -> str:
    due = ",".join(_DUE.format(name=p.value, rank=rank, now=now, lock=lock) for rank, p in enumerate(_RANKED))
    return f"WITH {due},{_PICKED.format(materialized=materialized)}"


# Lease the picked entries and raise their fence, in one statement.
_CLAIM_POSTGRES = text(
    _due_and_picked("coalesce(:now, now())", "FOR UPDATE SKIP LOCKED", "MATERIALIZED")
    + """
UPDATE outbox_entry AS e
SET state = 'leased', lease_no = e.lease_no + 1, leased_by = :holder,
    due_at = coalesce(:now, now()) + make_interval(secs => :lease)
FROM picked WHERE e.id = picked.id AND e.state = 'ready'
RETURNING e.id, e.lease_no, e.subject_id, e.service_id, e.priority, picked.due_at, e.attempts, e.lost, e.faults, e.fault
"""
).bindparams(bindparam("now", type_=DateTime(timezone=True)))

# SQLite cannot return the old due time from an UPDATE, so it reads first; its writer is alone in the transaction.
_PICK_SQLITE = text(
    _due_and_picked(":now", "", "")  # noqa: S608 - put together from constants
    + " SELECT id, lease_no, subject_id, service_id, priority, due_at, attempts, lost, faults, fault"
    + " FROM outbox_entry JOIN picked USING (id, due_at) WHERE state = 'ready'"
).columns(id=_ID, subject_id=_ID, service_id=_ID, due_at=_TIME)
_LEASE_SQLITE = text(
    "UPDATE outbox_entry SET state = 'leased', lease_no = lease_no + 1, leased_by = :holder, due_at = :ends"
    " WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'ready'"
)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One request for work."""

    kind: EntryKind
    holder: UUID  # this process's boot id
    lease: timedelta
    quota: Quota
    started: float  # monotonic seconds before the claim was sent; the lease is counted from here


async def claim(connection: AsyncConnection, wanted: Claim, *, now: datetime | None = None) -> list[Claimed]:
    """Lease due `ready` entries, and only those: an expired lease is rescued first, never claimed."""
    now = _now(connection, now)
    quota = {p.value: wanted.quota.share[p] for p in _RANKED}
    values: dict[str, Any] = {
        "kind": wanted.kind.value,
        "now": now,
        "room": wanted.quota.room,
        "reserve": wanted.quota.reserve,
        **quota,
    }
    if _is_sqlite(connection):
        rows = await _claim_sqlite(connection, wanted, values)
    else:
        values |= {"holder": wanted.holder, "lease": wanted.lease.total_seconds()}
        rows = [dict(row) for row in (await connection.execute(_CLAIM_POSTGRES, values)).mappings()]
    rows.sort(key=lambda row: (row["due_at"], row["id"]))
    ends = wanted.started + wanted.lease.total_seconds()
    return [Claimed(**{**row, "priority": Priority(row["priority"])}, lease_ends=ends) for row in rows]


async def _claim_sqlite(connection: AsyncConnection, wanted: Claim, values: dict[str, Any]) -> list[dict[str, Any]]:
    now = values["now"]
    picked = await connection.execute(_PICK_SQLITE, values | {"now": sqlite_time(now)})
    rows = [dict(row) for row in picked.mappings()]
    if rows:
        ids = json.dumps([row["id"].hex for row in rows])
        ends = sqlite_time(now + wanted.lease)
        await connection.execute(_LEASE_SQLITE, {"ids": ids, "holder": wanted.holder.hex, "ends": ends})
    return [row | {"lease_no": row["lease_no"] + 1} for row in rows]


# 3. Settle ------------------------------------------------------------------------------------------------------------

# Delete finished entries whose fence held, in whatever state they are by now.
_FINISH_POSTGRES = text("""
DELETE FROM outbox_entry AS e USING json_to_recordset(CAST(:batch AS json)) AS b(id uuid, lease_no int)
WHERE e.id = b.id AND e.lease_no = b.lease_no RETURNING e.id, e.lease_no
""")
_FINISH_SQLITE = text("""
DELETE FROM outbox_entry
WHERE (id, lease_no) IN (SELECT value ->> 'id', value ->> 'lease_no' FROM json_each(:batch)) RETURNING id, lease_no
""").columns(id=_ID)

# Put entries back (or hold them) with a new due time and what has been burnt, if the fence held.
_PUT_BACK_POSTGRES = text("""
UPDATE outbox_entry AS e
SET state = b.state, leased_by = NULL, attempts = b.attempts, faults = b.faults, fault = b.fault,
    due_at = coalesce(b.due_at, coalesce(:now, now()) + make_interval(secs => b.delay))
FROM json_to_recordset(CAST(:batch AS json))
  AS b(id uuid, lease_no int, state text, due_at timestamptz, delay float8, attempts int, faults int, fault text)
WHERE e.id = b.id AND e.lease_no = b.lease_no RETURNING e.id, e.lease_no
""").bindparams(bindparam("now", type_=DateTime(timezone=True)))
_PUT_BACK_SQLITE = text("""
UPDATE outbox_entry
SET state = b.state, leased_by = NULL, attempts = b.attempts, faults = b.faults, fault = b.fault, due_at = b.due_at
FROM (SELECT value ->> 'id' AS id, value ->> 'lease_no' AS lease_no, value ->> 'state' AS state,
             value ->> 'due_at' AS due_at, value ->> 'attempts' AS attempts, value ->> 'faults' AS faults,
             value ->> 'fault' AS fault FROM json_each(:batch)) AS b
WHERE outbox_entry.id = b.id AND outbox_entry.lease_no = b.lease_no RETURNING outbox_entry.id, outbox_entry.lease_no
""").columns(id=_ID)


async def settle(
    connection: AsyncConnection, batch: Sequence[Settlement], *, now: datetime | None = None
) -> list[Settlement]:
    """Apply each settlement's action; return those whose fence held. The others lost their lease to somebody else."""
    now = _now(connection, now)
    finished = [s for s in batch if isinstance(s.action, Finish)]
    put_back = [s for s in batch if not isinstance(s.action, Finish)]
    held: set[tuple[UUID, int]] = set()
    if finished:
        rows = [{"id": s.entry.id.hex, "lease_no": s.entry.lease_no} for s in finished]
        statement = _FINISH_SQLITE if _is_sqlite(connection) else _FINISH_POSTGRES
        result = await connection.execute(statement, {"batch": json.dumps(rows)})
        held |= {(row.id, row.lease_no) for row in result}
    if put_back:
        rows = [_row_put_back(s, now if _is_sqlite(connection) else None) for s in put_back]
        statement = _PUT_BACK_SQLITE if _is_sqlite(connection) else _PUT_BACK_POSTGRES
        values = {"batch": json.dumps(rows)} | ({} if _is_sqlite(connection) else {"now": now})
        result = await connection.execute(statement, values)
        held |= {(row.id, row.lease_no) for row in result}
    return [s for s in batch if (s.entry.id, s.entry.lease_no) in held]


def _row_put_back(settlement: Settlement, sqlite_now: datetime | None) -> dict[str, Any]:
    """One row of the batch; SQLite gets its due time computed, PostgreSQL adds the delay to its own clock."""
    entry, action = settlement.entry, settlement.action
    delay, due_at = timedelta(0), None
    attempts, faults, fault = entry.attempts, entry.faults, entry.fault
    if isinstance(action, Reschedule):
        delay, attempts, faults, fault = action.delay, action.attempts, action.faults, action.fault
    elif isinstance(action, Release):
        due_at = entry.due_at
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


# 4. Rescue ------------------------------------------------------------------------------------------------------------

# Entries whose lease is over become ready again, due now; the fence stays, so a late settle still counts.
_RESCUE = """
UPDATE outbox_entry SET state = 'ready', leased_by = NULL, lost = lost + 1, due_at = {now}
WHERE id IN (SELECT id FROM outbox_entry WHERE state = 'leased' {over} ORDER BY due_at LIMIT 1000 {lock})
RETURNING id
"""
_RESCUE_POSTGRES = text(
    _RESCUE.format(
        now="coalesce(:now, now())", over="AND due_at <= coalesce(:now, now())", lock="FOR UPDATE SKIP LOCKED"
    )
).bindparams(bindparam("now", type_=DateTime(timezone=True)))
_RESCUE_SQLITE = text(_RESCUE.format(now=":now", over="AND due_at <= :now", lock=""))
_RESCUE_ALL_SQLITE = text(_RESCUE.format(now=":now", over="", lock=""))


async def rescue(connection: AsyncConnection, *, now: datetime | None = None, holders_are_dead: bool = False) -> int:
    """Make the entries of overrun leases ready again and return how many.

    `holders_are_dead` ignores the lease: true only on SQLite at start, under the lock of the data directory.
    """
    now = _now(connection, now)
    if not _is_sqlite(connection):
        return len((await connection.execute(_RESCUE_POSTGRES, {"now": now})).all())
    statement = _RESCUE_ALL_SQLITE if holders_are_dead else _RESCUE_SQLITE
    return len((await connection.execute(statement, {"now": sqlite_time(now or datetime.now(UTC))})).all())


# 5. Look --------------------------------------------------------------------------------------------------------------

# The oldest due entry of each priority: how far behind the queue is.
_DUE_AGE = text(
    "SELECT priority, min(due_at) AS due_at FROM outbox_entry WHERE state = 'ready' AND kind = :kind GROUP BY priority"
).columns(due_at=_TIME)

# The number of entries of each state.
_DEPTH = text("SELECT state, count(*) AS depth FROM outbox_entry GROUP BY state")


async def due_age(connection: AsyncConnection, kind: EntryKind, now: datetime) -> dict[Priority, float]:
    """Seconds by which the oldest due entry of each priority is late; 0 where nothing is due."""
    oldest = {Priority(row.priority): row.due_at for row in await connection.execute(_DUE_AGE, {"kind": kind.value})}
    return {p: max(0.0, (now - oldest[p]).total_seconds()) if p in oldest else 0.0 for p in Priority}


async def depth(connection: AsyncConnection) -> dict[EntryState, int]:
    """How many entries are in each state."""
    found = {EntryState(row.state): int(row.depth) for row in await connection.execute(_DEPTH)}
    return {state: found.get(state, 0) for state in EntryState}
