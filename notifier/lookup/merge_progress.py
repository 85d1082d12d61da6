"""The statuses of a merge's notifications, from counts that are kept anyway: no query reads all of its rows.

The number that was written stands in the batch, the queued ones are in the outbox, and the status index has all that
are neither queued nor sent. What is left is sent.
"""

from uuid import UUID

from sqlalchemy import ColumnElement, Row, ScalarSelect, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Notification, OutboxEntry, StatusIndex, get_columns
from notifier.outbox.entry_store import SUBJECT_INDEX_CONDITION
from notifier.states import INDEXED_STATUSES, EntryKind, Status

_notification, _index, _entry = get_columns(Notification), get_columns(StatusIndex), get_columns(OutboxEntry)


async def count_kept_statuses(
    connection: AsyncConnection, batch_id: UUID, written: int
) -> tuple[dict[Status, int], int]:
    """Count the notifications of a merge by their status, and the unknown ones that nobody resolved in time.

    Copies are left out.
    """
    bounds = await _find_bounds(connection, batch_id)
    if bounds is None:
        return {}, 0
    # Scalar subqueries, because PostgreSQL may join in an order that reads the whole batch for each row.
    batch_of_row, batch_of_entry = _select_batch(_index.notification_id), _select_batch(_entry.subject_id)
    rare = (
        select(_index.status, func.count().label("number"))
        .where(
            _index.service_id == bounds.service_id,
            _index.status.in_(sorted(INDEXED_STATUSES)),
            _index.notification_id.between(bounds.first, bounds.last),
            batch_of_row == batch_id,
        )
        .group_by(_index.status)
    )
    status = select(_notification.status).where(_notification.id == _entry.subject_id).scalar_subquery()
    queued = select(literal(Status.QUEUED.value).label("status"), func.count().label("number")).where(
        SUBJECT_INDEX_CONDITION,
        _entry.service_id == bounds.service_id,
        _entry.kind == EntryKind.EMAIL,
        _entry.subject_id.between(bounds.first, bounds.last),
        batch_of_entry == batch_id,
        status == Status.QUEUED,
    )
    rows = await connection.execute(union_all(rare, queued))  # one statement: one moment
    counts = {Status(status): number for status, number in rows if number}
    sent = written - sum(counts.values())
    closed = await _count_closed(connection, batch_id, bounds.service_id) if Status.UNKNOWN in counts else 0
    return counts | ({Status.SENT: sent} if sent > 0 else {}), closed


def _select_batch(notification_id: ColumnElement[UUID]) -> ScalarSelect[UUID | None]:
    """Select the batch of a notification; NULL for a copy."""
    own = (_notification.id == notification_id, _notification.parent_id.is_(None))
    return select(_notification.batch_id).where(*own).scalar_subquery()


async def _count_closed(connection: AsyncConnection, batch_id: UUID, service_id: UUID) -> int:
    """Count the unknown ones without an entry."""
    entry = select(_entry.id).where(
        SUBJECT_INDEX_CONDITION, _entry.service_id == _index.service_id, _entry.subject_id == _index.notification_id
    )
    statement = select(func.count()).where(
        _index.service_id == service_id,
        _index.status == Status.UNKNOWN,
        _select_batch(_index.notification_id) == batch_id,
        entry.scalar_subquery().is_(None),
    )
    return int((await connection.execute(statement)).scalar_one())


async def _find_bounds(connection: AsyncConnection, batch_id: UUID) -> Row[tuple[UUID, UUID, UUID]] | None:
    """Find the service of the batch, and its first and last notification; None if it has none."""
    ends = [
        select(_notification.id)
        .where(_notification.batch_id == batch_id)
        .order_by(order)
        .limit(1)
        .scalar_subquery()
        .label(name)
        for name, order in (("first", _notification.id), ("last", _notification.id.desc()))
    ]
    query = select(_notification.service_id, *ends).where(_notification.batch_id == batch_id).limit(1)
    return (await connection.execute(query)).one_or_none()
