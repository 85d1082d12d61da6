"""The SQL of a claim, and the functions that run it: which services have due work, leasing it, suspects, orphans.

Where the two databases differ, both texts stand together. `notifier.outbox.claimer` decides what to claim.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, text

from notifier.db.dialect import DialectStatement, bind_now, build_statement, is_sqlite
from notifier.db.direct_connections import StatementConnection
from notifier.db.table_base import format_sqlite_time
from notifier.outbox.entry_handler import ClaimedEntry
from notifier.outbox.queue_sql import CLAIMED_COLUMNS, CLAIMED_TYPES, NOW, PRIORITIES_BY_RANK, SUSPECT_LOSSES, UUID_TYPE
from notifier.states import EntryKind, Priority

# Entries that may be claimed together. The conditions repeat those of the partial indexes, so that these are used.
_OPEN = f"state = 'ready' AND lost < {SUSPECT_LOSSES}"
_ALONE = f"state = 'ready' AND lost >= {SUSPECT_LOSSES}"

# 1. Which services have work -----------------------------------------------------------------------------------------

# CTEs that step through the index from service to service: one row for each service that has entries of a priority,
# due or not. The cost is the number of such services, never the length of the queue.
_OF_PRIORITY = f"FROM outbox_entry AS e WHERE {_OPEN} AND e.kind = :kind AND e.priority ="
_SERVICES = f"""
WITH RECURSIVE
  every(priority) AS (SELECT 'high' UNION ALL SELECT 'normal' UNION ALL SELECT 'bulk'),
  walk(priority, service_id) AS (
    SELECT every.priority, (SELECT e.service_id {_OF_PRIORITY} every.priority ORDER BY e.service_id LIMIT 1) FROM every
    UNION ALL
    SELECT walk.priority, (
      SELECT e.service_id {_OF_PRIORITY} walk.priority AND e.service_id > walk.service_id ORDER BY e.service_id LIMIT 1)
    FROM walk WHERE walk.service_id IS NOT NULL)"""

# The services that have due work of a priority, and since when.
_BACKLOG = f"""{_SERVICES},
  oldest AS (
    SELECT walk.priority, walk.service_id, (
      SELECT e.due_at {_OF_PRIORITY} walk.priority
        AND e.service_id = walk.service_id ORDER BY e.due_at LIMIT 1) AS due_at
    FROM walk WHERE walk.service_id IS NOT NULL)
SELECT priority, service_id, due_at FROM oldest WHERE due_at <= {{now}}
"""
BACKLOG = build_statement(_BACKLOG.format(now=NOW), _BACKLOG.format(now=":now"), columns=CLAIMED_TYPES)

# How much of each priority is due for each service, counted up to `:most`; this one costs what it counts.
_WAITING = f"""{_SERVICES}
SELECT walk.priority, walk.service_id, (
  SELECT count(*) FROM (
    SELECT 1 {_OF_PRIORITY} walk.priority
      AND e.service_id = walk.service_id AND e.due_at <= {{now}} LIMIT :most) AS due) AS waiting
FROM walk WHERE walk.service_id IS NOT NULL
"""
WAITING = build_statement(
    _WAITING.format(now=NOW),
    _WAITING.format(now=":now"),
    parameters={"most": Integer()},
    columns={"service_id": UUID_TYPE},
)

# The kinds of which something is due, a suspect too: the same walk over all kinds at once.
_OF_KIND = f"FROM outbox_entry AS e WHERE {_OPEN} AND e.kind ="
_DUE_KINDS = f"""
WITH RECURSIVE
  every(kind, priority) AS (SELECT k.kind, p.priority FROM ({{kinds}}) AS k CROSS JOIN (
    SELECT 'high' AS priority UNION ALL SELECT 'normal' UNION ALL SELECT 'bulk') AS p),
  walk(kind, priority, service_id) AS (
    SELECT every.kind, every.priority, (
      SELECT e.service_id {_OF_KIND} every.kind AND e.priority = every.priority ORDER BY e.service_id LIMIT 1)
    FROM every
    UNION ALL
    SELECT walk.kind, walk.priority, (
      SELECT e.service_id {_OF_KIND} walk.kind AND e.priority = walk.priority AND e.service_id > walk.service_id
      ORDER BY e.service_id LIMIT 1)
    FROM walk WHERE walk.service_id IS NOT NULL)
SELECT DISTINCT walk.kind FROM walk WHERE walk.service_id IS NOT NULL AND (
  SELECT e.due_at {_OF_KIND} walk.kind AND e.priority = walk.priority AND e.service_id = walk.service_id
  ORDER BY e.due_at LIMIT 1) <= {{now}}
UNION SELECT kind FROM outbox_entry WHERE {_ALONE} AND due_at <= {{now}}
"""
_KINDS = " UNION ALL ".join(f"SELECT '{kind}' AS kind" for kind in EntryKind)
DUE_KINDS = build_statement(_DUE_KINDS.format(kinds=_KINDS, now=NOW), _DUE_KINDS.format(kinds=_KINDS, now=":now"))

# 2. Lease what is due -------------------------------------------------------------------------------------------------

# The first `room` of the due entries: the services of a priority by turns, the reserve of each priority before rank.
_PICKED = """
  waiting AS (
    SELECT id, due_at, rank, share, row_number() OVER (PARTITION BY rank ORDER BY nth, turn) AS place FROM due),
  picked AS {materialized} (
    SELECT id, due_at FROM waiting WHERE place <= share ORDER BY (place > :reserve), rank, place LIMIT :room)"""
_NTH = "row_number() OVER (PARTITION BY t.turn ORDER BY d.due_at, d.id) AS nth"

_LEASE = f"""
UPDATE outbox_entry AS e
SET state = 'leased', lease_no = e.lease_no + 1, leased_by = :holder, marked_at = NULL,
    due_at = {NOW} + make_interval(secs => :lease)
FROM picked WHERE e.id = picked.id AND e.id = ANY(ARRAY(SELECT picked.id FROM picked)) AND e.state = 'ready'
RETURNING e.id, e.lease_no, e.subject_id, e.service_id, e.priority, picked.due_at, e.attempts, e.lost, e.faults, e.fault
"""

# Lease the oldest entries of each service whose turn it is and raise their fence; locked rows belong to others.
_CLAIM_POSTGRES = f"""
WITH
  due AS MATERIALIZED (
    SELECT d.id, d.due_at, t.rank, t.share, t.turn, {_NTH}
    FROM json_to_recordset(CAST(:turns AS json))
      AS t(turn int, priority text, service_id uuid, since timestamptz, rank int, share int, most int)
    CROSS JOIN LATERAL (
      SELECT e.id, e.due_at FROM outbox_entry AS e
      WHERE {_OPEN} AND e.kind = :kind AND e.priority = t.priority AND e.service_id = t.service_id
        AND e.due_at >= t.since AND e.due_at <= {NOW}
      ORDER BY e.due_at, e.id LIMIT t.most FOR UPDATE SKIP LOCKED) AS d),{_PICKED.format(materialized="MATERIALIZED")}
{_LEASE}
"""

# SQLite cannot return the old due time from an UPDATE, so it reads first; its writer is alone in the transaction.
_PICK_SQLITE = f"""
WITH
  due AS (
    SELECT d.id, d.due_at, t.value ->> 'rank' AS rank, t.value ->> 'share' AS share, t.key AS turn,
           row_number() OVER (PARTITION BY t.key ORDER BY d.due_at, d.id) AS nth
    FROM json_each(:turns) AS t JOIN outbox_entry AS d ON d.id IN (
      SELECT e.id FROM outbox_entry AS e
      WHERE {_OPEN} AND e.kind = :kind AND e.priority = t.value ->> 'priority'
        AND e.service_id = t.value ->> 'service_id' AND e.due_at >= t.value ->> 'since' AND e.due_at <= :now
      ORDER BY e.due_at, e.id LIMIT :room)),{_PICKED.format(materialized="")}
SELECT {CLAIMED_COLUMNS} FROM outbox_entry JOIN picked USING (id, due_at)
"""
CLAIM = build_statement(_CLAIM_POSTGRES, _PICK_SQLITE, columns=CLAIMED_TYPES)
LEASE_SQLITE = text(
    "UPDATE outbox_entry SET state = 'leased', lease_no = lease_no + 1, leased_by = :holder, marked_at = NULL,"
    " due_at = :ends WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'ready'"
)

# The oldest suspect, which is claimed alone.
_SUSPECT_DUE = f"FROM outbox_entry WHERE {_ALONE} AND kind = :kind AND due_at <= {{now}} ORDER BY due_at LIMIT 1"
CLAIM_SUSPECT = build_statement(
    f"WITH picked AS MATERIALIZED (SELECT id, due_at {_SUSPECT_DUE.format(now=NOW)} FOR UPDATE SKIP LOCKED){_LEASE}",
    f"SELECT {CLAIMED_COLUMNS} {_SUSPECT_DUE.format(now=':now')}",
    columns=CLAIMED_TYPES,
)

# Whether a suspect is due.
_SUSPECTED = f"SELECT 1 {_SUSPECT_DUE}"
SUSPECTED = build_statement(_SUSPECTED.format(now=NOW), _SUSPECTED.format(now=":now"))

# Entries that this process holds without knowing it: its claim was committed, and the reply was lost.
_RELEASE_ORPHANS = """
UPDATE outbox_entry SET state = 'ready', leased_by = NULL, due_at = {now}
WHERE state = 'leased' AND kind = :kind AND leased_by = :holder AND marked_at IS NULL AND {unknown} RETURNING id
"""
RELEASE_ORPHANS = build_statement(
    _RELEASE_ORPHANS.format(now=NOW, unknown="NOT (id = ANY(CAST(:ids AS uuid[])))"),
    _RELEASE_ORPHANS.format(now=":now", unknown="id NOT IN (SELECT value FROM json_each(:ids))"),
)


# 3. Run them ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ServiceBacklog:
    """Due work of one service and one priority, which may be claimed together with other work."""

    priority: Priority
    service_id: UUID
    since: datetime  # when the oldest of it was due


@dataclass(frozen=True, kw_only=True)
class ClaimShare:
    """What one claim may take of one service and one priority."""

    priority: Priority
    service_id: UUID
    since: datetime  # rows due earlier are not read: they are deleted, or the next sweep finds them
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
    capacity: int = 1  # entries in all
    reserve: int = 1  # entries of each priority before rank counts


async def list_backlogs(
    connection: StatementConnection, kind: EntryKind, *, now: datetime | None = None
) -> list[ServiceBacklog]:
    """List the services with due work, for each priority, and since when it is due."""
    values = bind_now(connection, now)[0] | {"kind": kind.value}
    rows = await connection.execute(BACKLOG.for_connection(connection), values)
    return [
        ServiceBacklog(priority=Priority(row.priority), service_id=row.service_id, since=row.due_at) for row in rows
    ]


async def list_due_kinds(connection: StatementConnection, *, now: datetime | None = None) -> set[EntryKind]:
    """List the kinds of which something is due."""
    rows = await connection.execute(DUE_KINDS.for_connection(connection), bind_now(connection, now)[0])
    return {EntryKind(row.kind) for row in rows}


async def claim_entries(
    connection: StatementConnection, request: ClaimRequest, *, now: datetime | None = None
) -> list[ClaimedEntry]:
    """Lease due `ready` entries, and only those: an expired lease is rescued first, never claimed."""
    sqlite = is_sqlite(connection)
    shares = json.dumps([_build_turn(number, share, sqlite=sqlite) for number, share in enumerate(request.shares)])
    values = {"turns": shares, "room": request.capacity, "reserve": request.reserve}
    return await _execute_claim(connection, CLAIM, request, values, now)


async def claim_suspect(
    connection: StatementConnection, request: ClaimRequest, *, now: datetime | None = None
) -> list[ClaimedEntry]:
    """Lease the oldest due entry that has been lost so often that it must run alone."""
    return await _execute_claim(connection, CLAIM_SUSPECT, request, {}, now)


def _build_turn(number: int, share: ClaimShare, *, sqlite: bool) -> dict[str, Any]:
    return {
        "turn": number,
        "priority": share.priority.value,
        "service_id": share.service_id.hex,
        "since": format_sqlite_time(share.since) if sqlite else share.since.isoformat(),
        "rank": PRIORITIES_BY_RANK.index(share.priority),
        "share": share.share,
        "most": share.limit,
    }


async def _execute_claim(
    connection: StatementConnection,
    statement: DialectStatement,
    request: ClaimRequest,
    values: dict[str, Any],
    now: datetime | None,
) -> list[ClaimedEntry]:
    bound, time = bind_now(connection, now)
    values = values | bound | {"kind": request.kind.value}
    if not is_sqlite(connection):
        values |= {"holder": request.holder, "lease": request.lease.total_seconds()}
    rows = [dict(row) for row in (await connection.execute(statement.for_connection(connection), values)).mappings()]
    if is_sqlite(connection) and rows:
        ids, ends = json.dumps([row["id"].hex for row in rows]), format_sqlite_time(time + request.lease)
        await connection.execute(LEASE_SQLITE, {"ids": ids, "holder": request.holder.hex, "ends": ends})
        rows = [row | {"lease_no": row["lease_no"] + 1} for row in rows]
    rows.sort(key=lambda row: (row["due_at"], row["id"]))
    return [build_claimed_entry(row, lease_ends=request.started + request.lease.total_seconds()) for row in rows]


def build_claimed_entry(row: dict[str, Any], *, lease_ends: float = 0.0) -> ClaimedEntry:
    """Build an entry from its row; `lease_ends` in monotonic seconds, where the lease is our own."""
    return ClaimedEntry(**{**row, "priority": Priority(row["priority"])}, lease_ends=lease_ends)


async def has_due_suspect(connection: StatementConnection, kind: EntryKind, *, now: datetime | None = None) -> bool:
    """Return True if an entry is due that must be claimed alone."""
    values = bind_now(connection, now)[0] | {"kind": kind.value}
    return (await connection.execute(SUSPECTED.for_connection(connection), values)).first() is not None


async def release_orphans(
    connection: StatementConnection, request: ClaimRequest, known: Collection[UUID], *, now: datetime | None = None
) -> int:
    """Release entries of the kind whose claim the holder never read: all but the `known`; return how many."""
    values = bind_now(connection, now)[0] | {"kind": request.kind.value}
    if is_sqlite(connection):
        values |= {"holder": request.holder.hex, "ids": json.dumps([id_.hex for id_ in known])}
    else:
        values |= {"holder": request.holder, "ids": list(known)}
    return len((await connection.execute(RELEASE_ORPHANS.for_connection(connection), values)).all())
