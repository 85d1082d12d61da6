"""Deletes job runs that ended long enough ago, and old audit records."""

# ruff: noqa: S608 - SQL of our own constants; values are always bound

from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import build_statement
from notifier.outbox.queue_sql import build_subject_condition
from notifier.retention.id_statements import TIME_TYPE, UUID_TYPE, delete_rows
from notifier.retention.purge_step import PurgePhase, PurgeProgress, PurgeStep, get_end, read_page

_BOUNDS = {"after": UUID_TYPE, "until": UUID_TYPE}
ROUTINE_KEPT = timedelta(days=1)
"""How long a roll-up that succeeded is kept: there is one every minute, and it would hide the other runs."""
_PAGE_OF_RUNS = f"""SELECT j.id, j.created_at, j.ended_at,
       j.kind = 'statistics' AND j.state = 'succeeded' AS is_routine, j.idempotency_key IS NOT NULL AS has_key,
       {build_subject_condition("j")} AS has_entry
FROM job_run AS j WHERE j.id > :after AND j.id < :until ORDER BY j.id LIMIT :limit"""
_RUNS = build_statement(
    _PAGE_OF_RUNS,
    _PAGE_OF_RUNS,
    parameters=_BOUNDS,
    columns={"id": UUID_TYPE, "created_at": TIME_TYPE, "ended_at": TIME_TYPE},
)
_PAGE_OF_RECORDS = "SELECT id, at FROM audit_entry WHERE id > :after AND id < :until ORDER BY id LIMIT :limit"
_RECORDS = build_statement(
    _PAGE_OF_RECORDS, _PAGE_OF_RECORDS, parameters=_BOUNDS, columns={"id": UUID_TYPE, "at": TIME_TYPE}
)


class JobPurge(PurgePhase):
    """Deletes job runs."""

    name = "jobs"

    async def apply(self, connection: AsyncConnection, step: PurgeStep, prepared: Any) -> PurgeProgress:  # noqa: ARG002 - nothing is prepared
        """Delete what is due among the next runs; one with an idempotency key that still counts is kept."""
        page = await read_page(connection, _RUNS, step, step.get_last_id(min(ROUTINE_KEPT, step.policy.jobs)))
        created_by = step.now - step.policy.key_lifetime
        kept = {True: min(ROUTINE_KEPT, step.policy.jobs), False: step.policy.jobs}
        ids = [
            row["id"]
            for row in page
            if row["ended_at"] is not None and row["ended_at"] <= step.now - kept[bool(row["is_routine"])]
            if not row["has_entry"]
            if not row["has_key"] or row["created_at"] <= created_by
        ]
        return PurgeProgress(
            after=get_end(step, page), counts={"job_runs": await delete_rows(connection, "job_run", ids)}
        )


class AuditPurge(PurgePhase):
    """Deletes audit records; the database allows it only for those that are over a year old."""

    name = "audit"

    async def apply(self, connection: AsyncConnection, step: PurgeStep, prepared: Any) -> PurgeProgress:  # noqa: ARG002 - nothing is prepared
        """Delete what is due among the next records."""
        page = await read_page(connection, _RECORDS, step, step.get_last_id(step.policy.audit))
        ids = [row["id"] for row in page if row["at"] <= step.now - step.policy.audit]
        count = await delete_rows(connection, "audit_entry", ids)
        return PurgeProgress(after=get_end(step, page), counts={"audit_records": count})
