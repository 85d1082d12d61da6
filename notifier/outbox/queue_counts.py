"""What is counted in the queue: how much is due and since when, for forecasts, statistics and metrics."""

from datetime import datetime
from uuid import UUID

from notifier.db.dialect import bind_now
from notifier.db.direct_connections import StatementConnection
from notifier.outbox import claim_sql, queue_sql
from notifier.outbox.claim_sql import list_backlogs
from notifier.states import EntryKind, EntryState, Priority

MAX_COUNTED = 100_000
"""Entries of one state that are counted; more are shown as this number."""


async def get_due_ages(connection: StatementConnection, kind: EntryKind, now: datetime) -> dict[Priority, float]:
    """Return by how many seconds the oldest due entry of each priority is late; 0 where nothing is due."""
    ages = dict.fromkeys(Priority, 0.0)
    for backlog in await list_backlogs(connection, kind, now=now):
        ages[backlog.priority] = max(ages[backlog.priority], (now - backlog.since).total_seconds())
    return ages


async def count_due(
    connection: StatementConnection, kind: EntryKind, *, most: int, now: datetime | None = None
) -> dict[tuple[Priority, UUID], int]:
    """Count the due entries of each priority and service, up to `most` each; those without any are left out."""
    values = bind_now(connection, now)[0] | {"kind": kind.value, "most": most}
    counts = await connection.execute(claim_sql.WAITING.for_connection(connection), values)
    return {(Priority(row.priority), row.service_id): int(row.waiting) for row in counts if row.waiting}


async def count_outlook(
    connection: StatementConnection, kind: EntryKind, service_id: UUID | None, *, most: int, now: datetime
) -> tuple[int, int, int]:
    """Count up to `most` entries of a service or of all: those that are due or leased, due later, and held."""
    values: dict[str, object] = bind_now(connection, now)[0] | {"kind": kind.value, "most": most}
    if service_id is None:
        statement = queue_sql.OUTLOOK.for_connection(connection)
    else:
        statement, values["service"] = queue_sql.OUTLOOK_OF_SERVICE.for_connection(connection), service_id
    row = (await connection.execute(statement, values)).one()
    return row.counted - row.later - row.held, row.later, row.held


async def count_by_state(connection: StatementConnection) -> dict[EntryState, int]:
    """Count the entries in each state, up to `MAX_COUNTED`."""
    counts = dict.fromkeys(EntryState, 0)
    for row in await connection.execute(queue_sql.COUNT_BY_STATE, {"most": MAX_COUNTED}):
        counts[EntryState(row.state)] += int(row.depth)
    return {state: min(count, MAX_COUNTED) for state, count in counts.items()}
