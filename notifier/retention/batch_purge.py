"""Deletes batches of which no notification is left.

A batch is written before its notifications, and one that is repeated after its key has expired begins again. So a batch
is kept as long as a notification would be, counted from when it began.
"""

# ruff: noqa: S608 - SQL of our own constants; values are always bound

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import build_statement, is_sqlite
from notifier.outbox.queue_sql import build_subject_condition
from notifier.retention import family_store
from notifier.retention.family_store import NO_DAYS
from notifier.retention.id_statements import (
    AMONG_IDS,
    TIME_TYPE,
    UUID_TYPE,
    bind_ids,
    build_id_statement,
    delete_rows,
    read_rows,
)
from notifier.retention.purge_step import PurgePhase, PurgeProgress, PurgeStep, get_end, read_page

_COLUMNS = {"id": UUID_TYPE, "service_id": UUID_TYPE, "created_at": TIME_TYPE}
_HAS_NOTIFICATION = "(SELECT n.id FROM notification AS n WHERE n.batch_id = b.id LIMIT 1) IS NOT NULL"
_HAS_JOB = "b.id IN (SELECT j.subject_id FROM job_run AS j WHERE j.ended_at IS NULL)"
_SELECT = f"""SELECT b.id, b.service_id, b.created_at,
       {_HAS_NOTIFICATION} OR {build_subject_condition("b")} OR coalesce({_HAS_JOB}, false) AS is_named
FROM batch AS b"""
# Not up to the id of a time: the id of a batch with an Idempotency-Key is a hash.
_PAGE = f"{_SELECT} WHERE b.id > :after AND b.id <= :until ORDER BY b.id LIMIT :limit"
_BATCHES = build_statement(_PAGE, _PAGE, parameters={"after": UUID_TYPE, "until": UUID_TYPE}, columns=_COLUMNS)
_BATCHES_BY_ID = build_id_statement(f"{_SELECT} WHERE b.id {{among}}", _COLUMNS)
_LOCK_POSTGRES = text(f"SELECT id FROM batch WHERE id {AMONG_IDS[False]} ORDER BY id FOR UPDATE")
_LAST_ID = UUID(int=2**128 - 1)


class BatchPurge(PurgePhase):
    """Deletes batches."""

    name = "batches"

    async def apply(self, connection: AsyncConnection, step: PurgeStep, prepared: Any) -> PurgeProgress:  # noqa: ARG002 - nothing is prepared
        """Delete what is due among the next batches."""
        days = await family_store.load_service_days(connection)

        def is_due(row: dict[str, Any]) -> bool:
            kept = step.policy.get_notification_time(days.get(row["service_id"], NO_DAYS).notifications)
            return not row["is_named"] and row["created_at"] + max(kept, _get_minimum(step)) <= step.now

        page = await read_page(connection, _BATCHES, step, _LAST_ID)
        ids = [row["id"] for row in page if is_due(row)]
        if ids and not is_sqlite(connection):
            await connection.execute(_LOCK_POSTGRES, {"ids": bind_ids(connection, ids)})
            ids = [row["id"] for row in await read_rows(connection, _BATCHES_BY_ID, ids) if is_due(row)]
        count = await delete_rows(connection, "batch", ids)
        return PurgeProgress(after=get_end(step, page), counts={"batches": count})


def _get_minimum(step: PurgeStep) -> timedelta:
    """A batch that is written at this moment has no notification yet; and its key still finds it."""
    return step.policy.key_lifetime
