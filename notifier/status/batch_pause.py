"""Pause a batch: while its flag is set, no body of its mails is permitted, and a sender that claims one puts it off.

A resume clears the flag and makes what was put off due again, in steps of limited size.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import encode_rows, is_sqlite
from notifier.db.tables import Batch, Notification, get_columns
from notifier.outbox import queue_sql
from notifier.states import EntryKind

IS_PAUSED = "((SELECT g.paused_at FROM batch AS g WHERE g.id = n.batch_id) IS NOT NULL)"
"""The batch of the notification `n`, if it has one, is paused."""
IS_STOPPED = "((SELECT coalesce(g.cancelled_at, g.paused_at) FROM batch AS g WHERE g.id = n.batch_id) IS NOT NULL)"
"""The batch of the notification `n`, if it has one, was cancelled or is paused."""
PAUSED_FAULT = "batch paused"
"""The fault of an entry that was put off because of the pause: so a resume finds it."""
MAX_PAUSE_DELAY = timedelta(minutes=15)
"""A mail that a sender puts off just when its batch is resumed waits at most so long."""
MAX_RESUMED_ROWS = 500
"""Entries that one step of a resume makes due."""
# A scalar subquery, because PostgreSQL may turn an EXISTS into a scan of the whole batch for each entry.
_OF_THE_BATCH = "(SELECT n.batch_id FROM notification AS n WHERE n.id = e.subject_id) = :batch"
_COUNT = queue_sql.build_subject_count(_OF_THE_BATCH)
_NEXT = queue_sql.build_postponed_selection(_OF_THE_BATCH)
_batch, _notification = get_columns(Batch), get_columns(Notification)


@dataclass(frozen=True, kw_only=True)
class ResumeStep:
    """The next entries of a resumed batch."""

    service_id: UUID
    batch_id: UUID
    after: UUID  # the notification behind which it goes on
    first_due: datetime
    interval: timedelta | None  # between two mails; None: all are due at once


async def set_pause(connection: AsyncConnection, id_: UUID, paused_at: datetime | None) -> None:
    """Pause a batch, or with None resume it."""
    await connection.execute(update(Batch).where(_batch.id == id_).values(paused_at=paused_at))


async def count_waiting(connection: AsyncConnection, service_id: UUID, batch_id: UUID) -> int:
    """Count the mails of the batch that have an outbox entry. It reads the entries of the service, not the batch."""
    first = await find_first_mail(connection, batch_id)
    if first is None:
        return 0
    values = {"service": service_id, "batch": batch_id, "first": first, "kind": EntryKind.EMAIL.value}
    return int((await connection.execute(_COUNT.for_connection(connection), values)).scalar_one())


async def find_first_mail(connection: AsyncConnection, batch_id: UUID) -> UUID | None:
    """Find the notification of the batch with the smallest id; None: nothing was written yet."""
    query = select(_notification.id).where(_notification.batch_id == batch_id).order_by(_notification.id).limit(1)
    id_: UUID | None = (await connection.execute(query)).scalar_one_or_none()
    return id_


async def resume_entries(connection: AsyncConnection, step: ResumeStep) -> tuple[int, UUID | None]:
    """Make the next entries due that the pause has put off.

    Returns how many entries there were, and the notification of the last one; None: there are no more.
    """
    values = {
        "service": step.service_id,
        "batch": step.batch_id,
        "after": step.after,
        "kind": EntryKind.EMAIL.value,
        "limit": MAX_RESUMED_ROWS,
    }
    entries = (await connection.execute(_NEXT.for_connection(connection), values)).all()
    interval = step.interval or timedelta(0)
    rows = [{"id": entry.id, "due_at": step.first_due + index * interval} for index, entry in enumerate(entries)]
    resumed = {
        "rows": encode_rows(rows, sqlite=is_sqlite(connection)),
        "fault": PAUSED_FAULT,
        "every": 1 if step.interval is not None else 0,
    }
    await connection.execute(queue_sql.RESUME.for_connection(connection), resumed)
    return len(entries), entries[-1].subject_id if len(entries) == MAX_RESUMED_ROWS else None
