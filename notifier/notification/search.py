"""A page of a service's notifications, by whatever is asked for: it walks one index, in the order of the pages.

The id is the cursor: it begins with the time at which it was made. No page looks at more than `LOOK` rows, so that no
combination of filters takes long; what it has not come to is behind the cursor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Select, bindparam, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import address
from notifier.db.tables import Notification, NotificationTag, OutboxEntry, StatusIndex, Template, columns
from notifier.ids import first_id_of
from notifier.notification.find import NotificationView, views
from notifier.outbox import store
from notifier.states import FOUND_BY_STATUS, Status

LOOK = 2_000
"""Rows that one page looks at, at most."""

MOST_SKEW = timedelta(hours=2)
"""Ids are made by the clocks of hosts, times by that of the database; so far apart they may be."""

_FIRST_DAY, _LAST_DAY = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Nothing was made before or will be after; at the ends of the calendar there is no two hours more."""

NO_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)
"""Below and above all ids; the first is also that of a slug that nobody has published."""

_notification, _template = columns(Notification), columns(Template)
_listed, _tagged, _entry = columns(StatusIndex), columns(NotificationTag), columns(OutboxEntry)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What is looked for; None: anything."""

    status: Status | None = None
    scheduled: bool | None = None  # of those that are queued: whether their time is still ahead
    to: str | None = None
    template: str | None = None  # slug
    tag: str | None = None
    batch_id: UUID | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    copies: bool = False  # list them too


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Which part of what is found."""

    limit: int
    before: UUID | None = None  # where the page before ended
    look: int = LOOK  # rows that are looked at, at most


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of what was looked for, newest first; not always as many as were asked for."""

    views: list[NotificationView]
    next: UUID | None  # where to go on; None: there is no more


@dataclass(frozen=True, kw_only=True)
class _Walk:
    """An index of the notifications that have some values in common, by their ids."""

    shared: Sequence[tuple[Column[Any], Any]]
    id: Column[Any]
    words: Sequence[ColumnElement[bool]] = field(default_factory=list)  # of the index, if it is a partial one

    def rows(self, first: UUID, end: UUID) -> Select[Any]:
        """Newest first, from an id on until before another one.

        Told as one row compared with another, because only this index can do that. Of `service_id = …` and an order by
        the id the planner may make a walk through everybody's notifications.
        """
        names = [column for column, _ in self.shared] + [self.id]
        bounds = []
        for id_ in (first, end):
            values = [*self.shared, (self.id, id_)]
            bounds.append(tuple_(*(bindparam(None, value, type_=column.type, unique=True) for column, value in values)))
        labelled = [column.label(f"c{number}") for number, column in enumerate(names)]
        statement = select(*labelled).where(tuple_(*names) >= bounds[0], tuple_(*names) < bounds[1], *self.words)
        return statement.order_by(*(column.desc() for column in names))


async def page(
    connection: AsyncConnection, service_id: UUID, query: Filter, page_request: Slice, *, now: datetime
) -> Page:
    """A service's notifications that pass the filter, newest first, without their attempts."""
    query = replace(query, created_after=_day(query.created_after), created_before=_day(query.created_before))
    template_id = await _template_id(connection, query.template)
    first, end = _bounds(query, page_request.before)
    looked_at = _walk(service_id, query, template_id).rows(first, end).limit(page_request.look)
    candidate = looked_at.subquery("w")
    *_, id_ = candidate.c
    # A subquery that gives a value is asked row by row, in the order of the walk; EXISTS might be made a join.
    passes = select(literal(1)).where(_notification.id == id_, *_conditions(service_id, query, template_id, now))
    statement = select(id_).where(passes.correlate(candidate).scalar_subquery() == 1)
    statement = statement.order_by(*(column.desc() for column in candidate.c)).limit(page_request.limit + 1)
    ids = list((await connection.execute(statement)).scalars())
    if len(ids) > page_request.limit:
        page_ = ids[: page_request.limit]
        return Page(views=await views(connection, page_), next=page_[-1])
    last = (await connection.execute(looked_at.limit(1).offset(page_request.look - 1))).first()
    return Page(views=await views(connection, ids), next=last[-1] if last else None)


async def _template_id(connection: AsyncConnection, slug: str | None) -> UUID | None:
    if slug is None:
        return None
    result = await connection.execute(select(_template.id).where(_template.slug == slug))
    return result.scalar_one_or_none() or NO_ID


def _day(time: datetime | None) -> datetime | None:
    return time and min(max(time, _FIRST_DAY), _LAST_DAY)


def _bounds(query: Filter, before: UUID | None) -> tuple[UUID, UUID]:
    """The first id that may be wanted, and the one at which to stop."""
    first, end = NO_ID, before or LAST_ID
    if query.created_after is not None:
        first = first_id_of(query.created_after - MOST_SKEW)
    if query.created_before is not None:
        end = min(end, first_id_of(query.created_before + MOST_SKEW))
    return first, end


def _walk(service_id: UUID, query: Filter, template_id: UUID | None) -> _Walk:
    """Through what is likely to be the fewest."""
    n, own = _notification, (_notification.service_id, service_id)
    if query.batch_id is not None:
        return _Walk(shared=[(n.batch_id, query.batch_id)], id=n.id, words=[n.batch_id.is_not(None)])
    if query.to is not None:
        return _Walk(shared=[own, (n.address_key, address.key(query.to))], id=n.id)
    if query.status is not None and query.status is not Status.SENT:
        return _walk_of_status(service_id, query.status)
    if query.tag is not None:
        return _Walk(shared=[(_tagged.service_id, service_id), (_tagged.tag, query.tag)], id=_tagged.notification_id)
    if template_id is not None:
        return _Walk(shared=[own, (n.template_id, template_id)], id=n.id)
    return _Walk(shared=[own], id=n.id)


def _walk_of_status(service_id: UUID, status: Status) -> _Walk:
    """Any but `sent`, which is most of them."""
    if status in FOUND_BY_STATUS:
        return _Walk(shared=[(_listed.service_id, service_id), (_listed.status, status)], id=_listed.notification_id)
    return _Walk(shared=[(_entry.service_id, service_id)], id=_entry.subject_id, words=[store.BY_SUBJECT])


def _conditions(service_id: UUID, query: Filter, template_id: UUID | None, now: datetime) -> list[ColumnElement[bool]]:
    """All that a notification must be."""
    n = _notification
    conditions: list[ColumnElement[bool]] = [n.service_id == service_id]
    if query.status is not None:
        conditions.append(n.status == query.status)
    if query.scheduled is not None:
        conditions.append(n.send_at > now if query.scheduled else n.send_at <= now)
    if query.to is not None:
        conditions.append(n.address_key == address.key(query.to))
    if template_id is not None:
        conditions.append(n.template_id == template_id)
    if query.tag is not None:
        tagged = select(literal(1)).where(_tagged.service_id == service_id, _tagged.tag == query.tag)
        conditions.append(tagged.where(_tagged.notification_id == n.id).correlate(Notification).scalar_subquery() == 1)
    if query.batch_id is not None:
        conditions.append(n.batch_id == query.batch_id)
    if query.created_after is not None:
        conditions.append(n.created_at >= query.created_after)
    if query.created_before is not None:
        conditions.append(n.created_at < query.created_before)
    if not query.copies:
        conditions.append(n.parent_id.is_(None))
    return conditions
