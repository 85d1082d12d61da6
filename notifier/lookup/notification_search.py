"""Search a service's notifications: a page reads one index, newest first, and the id is the cursor.

No page examines more than `MAX_ROWS_EXAMINED` rows, so that every combination of filters is fast. So a page may have
fewer rows than its limit, or none, before the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Select, bindparam, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import email_address
from notifier.db.tables import Notification, NotificationTag, OutboxEntry, StatusIndex, Template, get_columns
from notifier.ids import get_first_id
from notifier.lookup.notification_view import NotificationView, list_notifications
from notifier.outbox import entry_store
from notifier.states import INDEXED_STATUSES, Status

MAX_ROWS_EXAMINED = 2_000  # rows that one page examines
MAX_CLOCK_SKEW = timedelta(hours=2)
"""Between the clocks of the hosts, which make the ids, and the clock of the database, which makes the times."""
_FIRST_DAY, _LAST_DAY = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Times are limited to these days, because arithmetic at the ends of the calendar overflows."""
NO_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)
"""Below and above all ids. `NO_ID` is also used for a template that does not exist."""
_notification, _template = get_columns(Notification), get_columns(Template)
_listed, _tagged, _entry = get_columns(StatusIndex), get_columns(NotificationTag), get_columns(OutboxEntry)


@dataclass(frozen=True, kw_only=True)
class NotificationFilter:
    """Which notifications to find; None: any."""

    status: Status | None = None
    scheduled: bool | None = None  # of queued ones: whether `send_at` is ahead
    to: str | None = None
    template: str | None = None  # slug
    tag: str | None = None
    batch_id: UUID | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    copies: bool = False  # list them too


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """The page of the result that is wanted."""

    limit: int
    before: UUID | None = None  # the cursor of the page before
    max_rows: int = MAX_ROWS_EXAMINED  # maximum of rows to examine


@dataclass(frozen=True, kw_only=True)
class NotificationPage:
    """A page of notifications, newest first; it may be shorter than its limit before the end."""

    views: list[NotificationView]
    next: UUID | None  # the cursor of the next page; None: there is none


@dataclass(frozen=True, kw_only=True)
class _IndexWalk:
    """A read of one index: notifications with some equal values, by id."""

    shared: Sequence[tuple[Column[Any], Any]]
    id: Column[Any]
    conditions: Sequence[ColumnElement[bool]] = field(default_factory=list)  # conditions of a partial index

    def rows(self, first: UUID, end: UUID) -> Select[Any]:
        """Select newest first, from the id `first` until before the id `end`.

        It compares whole rows, because only this index can do that. With `service_id = …` and an order by id the
        planner may read the notifications of all services.
        """
        names = [column for column, _ in self.shared] + [self.id]
        bounds = []
        for id_ in (first, end):
            values = [*self.shared, (self.id, id_)]
            bounds.append(tuple_(*(bindparam(None, value, type_=column.type, unique=True) for column, value in values)))
        labelled = [column.label(f"c{number}") for number, column in enumerate(names)]
        statement = select(*labelled).where(tuple_(*names) >= bounds[0], tuple_(*names) < bounds[1], *self.conditions)
        return statement.order_by(*(column.desc() for column in names))


async def search_notifications(
    connection: AsyncConnection,
    service_id: UUID,
    query: NotificationFilter,
    page: PageRequest,
    *,
    now: datetime,
) -> NotificationPage:
    """Find a page of the service's notifications, newest first, without their attempts."""
    query = replace(
        query, created_after=_clamp_time(query.created_after), created_before=_clamp_time(query.created_before)
    )
    template_id = await _find_template_id(connection, query.template)
    first, end = _compute_bounds(query, page.before)
    examined = _choose_index(service_id, query, template_id).rows(first, end).limit(page.max_rows)
    candidate = examined.subquery("w")
    *_, id_ = candidate.c
    # A scalar subquery runs row by row, in the order of the index. The planner may turn an EXISTS into a join.
    passes = select(literal(1)).where(_notification.id == id_, *_list_conditions(service_id, query, template_id, now))
    statement = select(id_).where(passes.correlate(candidate).scalar_subquery() == 1)
    statement = statement.order_by(*(column.desc() for column in candidate.c)).limit(page.limit + 1)
    ids = list((await connection.execute(statement)).scalars())
    if len(ids) > page.limit:
        page_ids = ids[: page.limit]
        return NotificationPage(views=await list_notifications(connection, page_ids), next=page_ids[-1])
    last = (await connection.execute(examined.limit(1).offset(page.max_rows - 1))).first()
    return NotificationPage(views=await list_notifications(connection, ids), next=last[-1] if last else None)


async def _find_template_id(connection: AsyncConnection, slug: str | None) -> UUID | None:
    if slug is None:
        return None
    result = await connection.execute(select(_template.id).where(_template.slug == slug))
    return result.scalar_one_or_none() or NO_ID


def _clamp_time(time: datetime | None) -> datetime | None:
    return time and min(max(time, _FIRST_DAY), _LAST_DAY)


def _compute_bounds(query: NotificationFilter, before: UUID | None) -> tuple[UUID, UUID]:
    first, end = NO_ID, before or LAST_ID
    if query.created_after is not None:
        first = get_first_id(query.created_after - MAX_CLOCK_SKEW)
    if query.created_before is not None:
        end = min(end, get_first_id(query.created_before + MAX_CLOCK_SKEW))
    return first, end


def _choose_index(service_id: UUID, query: NotificationFilter, template_id: UUID | None) -> _IndexWalk:
    """Choose the index that probably has the fewest rows."""
    n, own = _notification, (_notification.service_id, service_id)
    if query.batch_id is not None:
        return _IndexWalk(shared=[(n.batch_id, query.batch_id)], id=n.id, conditions=[n.batch_id.is_not(None)])
    if query.to is not None:
        return _IndexWalk(shared=[own, (n.address_key, email_address.get_address_key(query.to))], id=n.id)
    if query.status is not None and query.status is not Status.SENT:
        return _choose_status_index(service_id, query.status)
    if query.tag is not None:
        return _IndexWalk(
            shared=[(_tagged.service_id, service_id), (_tagged.tag, query.tag)], id=_tagged.notification_id
        )
    if template_id is not None:
        return _IndexWalk(shared=[own, (n.template_id, template_id)], id=n.id)
    return _IndexWalk(shared=[own], id=n.id)


def _choose_status_index(service_id: UUID, status: Status) -> _IndexWalk:
    """The index for a status; not for `sent`, which most notifications have."""
    if status in INDEXED_STATUSES:
        return _IndexWalk(
            shared=[(_listed.service_id, service_id), (_listed.status, status)], id=_listed.notification_id
        )
    return _IndexWalk(
        shared=[(_entry.service_id, service_id)], id=_entry.subject_id, conditions=[entry_store.SUBJECT_INDEX_CONDITION]
    )


def _list_conditions(
    service_id: UUID, query: NotificationFilter, template_id: UUID | None, now: datetime
) -> list[ColumnElement[bool]]:
    n = _notification
    equal = [
        (n.service_id, service_id),
        (n.status, query.status),
        (n.address_key, email_address.get_address_key(query.to) if query.to is not None else None),
        (n.template_id, template_id),
        (n.batch_id, query.batch_id),
    ]
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if query.scheduled is not None:
        conditions.append(n.send_at > now if query.scheduled else n.send_at <= now)
    if query.tag is not None:
        tagged = select(literal(1)).where(_tagged.service_id == service_id, _tagged.tag == query.tag)
        conditions.append(tagged.where(_tagged.notification_id == n.id).correlate(Notification).scalar_subquery() == 1)
    if query.created_after is not None:
        conditions.append(n.created_at >= query.created_after)
    if query.created_before is not None:
        conditions.append(n.created_at < query.created_before)
    if not query.copies:
        conditions.append(n.parent_id.is_(None))
    return conditions
