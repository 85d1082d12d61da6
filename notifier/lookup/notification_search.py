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

from notifier import email_address
from notifier.db.tables import Notification, NotificationTag, OutboxEntry, StatusIndex, Template, get_columns
from notifier.ids import get_first_id
from notifier.lookup.notification_view import NotificationView, list_notifications
from notifier.outbox import entry_store
from notifier.states import INDEXED_STATUSES, Status

MAX_ROWS_EXAMINED = 2_000
"""Rows that one page looks at, at most."""

MAX_CLOCK_SKEW = timedelta(hours=2)
"""Ids are made by the clocks of hosts, times by that of the database; so far apart they may be."""

_FIRST_DAY, _LAST_DAY = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Nothing was made before or will be after; at the ends of the calendar there is no two hours more."""

NO_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)
"""Below and above all ids; the first is also that of a slug that nobody has published."""

_notification, _template = get_columns(Notification), get_columns(Template)
_listed, _tagged, _entry = get_columns(StatusIndex), get_columns(NotificationTag), get_columns(OutboxEntry)


@dataclass(frozen=True, kw_only=True)
class NotificationFilter:
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
class PageRequest:
    """Which part of what is found."""

    limit: int
    before: UUID | None = None  # where the page before ended
    max_rows: int = MAX_ROWS_EXAMINED  # rows that are looked at, at most


@dataclass(frozen=True, kw_only=True)
class NotificationPage:
    """Some of what was looked for, newest first; not always as many as were asked for."""

    views: list[NotificationView]
    next: UUID | None  # where to go on; None: there is no more


@dataclass(frozen=True, kw_only=True)
class _IndexWalk:
    """An index of the notifications that have some values in common, by their ids."""

    shared: Sequence[tuple[Column[Any], Any]]
    id: Column[Any]
    conditions: Sequence[ColumnElement[bool]] = field(default_factory=list)  # of the index, if it is a partial one

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
        found = select(*labelled).where(tuple_(*names) >= bounds[0], tuple_(*names) < bounds[1], *self.conditions)
        return found.order_by(*(column.desc() for column in names))


async def search_notifications(
    connection: AsyncConnection, service_id: UUID, wanted: NotificationFilter, which: PageRequest, *, now: datetime
) -> NotificationPage:
    """A service's notifications that pass the filter, newest first, without their attempts."""
    wanted = replace(
        wanted, created_after=_clamp_time(wanted.created_after), created_before=_clamp_time(wanted.created_before)
    )
    template_id = await _find_template_id(connection, wanted.template)
    first, end = _compute_bounds(wanted, which.before)
    looked_at = _choose_index(service_id, wanted, template_id).rows(first, end).limit(which.max_rows)
    candidate = looked_at.subquery("w")
    *_, id_ = candidate.c
    # A subquery that gives a value is asked row by row, in the order of the walk; EXISTS might be made a join.
    passes = select(literal(1)).where(_notification.id == id_, *_list_conditions(service_id, wanted, template_id, now))
    statement = select(id_).where(passes.correlate(candidate).scalar_subquery() == 1)
    statement = statement.order_by(*(column.desc() for column in candidate.c)).limit(which.limit + 1)
    ids = list((await connection.execute(statement)).scalars())
    if len(ids) > which.limit:
        page_ = ids[: which.limit]
        return NotificationPage(views=await list_notifications(connection, page_), next=page_[-1])
    last = (await connection.execute(looked_at.limit(1).offset(which.max_rows - 1))).first()
    return NotificationPage(views=await list_notifications(connection, ids), next=last[-1] if last else None)


async def _find_template_id(connection: AsyncConnection, slug: str | None) -> UUID | None:
    if slug is None:
        return None
    found = await connection.execute(select(_template.id).where(_template.slug == slug))
    return found.scalar_one_or_none() or NO_ID


def _clamp_time(time: datetime | None) -> datetime | None:
    return time and min(max(time, _FIRST_DAY), _LAST_DAY)


def _compute_bounds(wanted: NotificationFilter, before: UUID | None) -> tuple[UUID, UUID]:
    """The first id that may be wanted, and the one at which to stop."""
    first, end = NO_ID, before or LAST_ID
    if wanted.created_after is not None:
        first = get_first_id(wanted.created_after - MAX_CLOCK_SKEW)
    if wanted.created_before is not None:
        end = min(end, get_first_id(wanted.created_before + MAX_CLOCK_SKEW))
    return first, end


def _choose_index(service_id: UUID, wanted: NotificationFilter, template_id: UUID | None) -> _IndexWalk:
    """Through what is likely to be the fewest."""
    n, own = _notification, (_notification.service_id, service_id)
    if wanted.batch_id is not None:
        return _IndexWalk(shared=[(n.batch_id, wanted.batch_id)], id=n.id, conditions=[n.batch_id.is_not(None)])
    if wanted.to is not None:
        return _IndexWalk(shared=[own, (n.address_key, email_address.get_address_key(wanted.to))], id=n.id)
    if wanted.status is not None and wanted.status is not Status.SENT:
        return _choose_status_index(service_id, wanted.status)
    if wanted.tag is not None:
        return _IndexWalk(
            shared=[(_tagged.service_id, service_id), (_tagged.tag, wanted.tag)], id=_tagged.notification_id
        )
    if template_id is not None:
        return _IndexWalk(shared=[own, (n.template_id, template_id)], id=n.id)
    return _IndexWalk(shared=[own], id=n.id)


def _choose_status_index(service_id: UUID, status: Status) -> _IndexWalk:
    """Any but `sent`, which is most of them."""
    if status in INDEXED_STATUSES:
        return _IndexWalk(
            shared=[(_listed.service_id, service_id), (_listed.status, status)], id=_listed.notification_id
        )
    return _IndexWalk(
        shared=[(_entry.service_id, service_id)], id=_entry.subject_id, conditions=[entry_store.SUBJECT_INDEX_CONDITION]
    )


def _list_conditions(
    service_id: UUID, wanted: NotificationFilter, template_id: UUID | None, now: datetime
) -> list[ColumnElement[bool]]:
    """All that a notification must be."""
    n = _notification
    found: list[ColumnElement[bool]] = [n.service_id == service_id]
    if wanted.status is not None:
        found.append(n.status == wanted.status)
    if wanted.scheduled is not None:
        found.append(n.send_at > now if wanted.scheduled else n.send_at <= now)
    if wanted.to is not None:
        found.append(n.address_key == email_address.get_address_key(wanted.to))
    if template_id is not None:
        found.append(n.template_id == template_id)
    if wanted.tag is not None:
        tagged = select(literal(1)).where(_tagged.service_id == service_id, _tagged.tag == wanted.tag)
        found.append(tagged.where(_tagged.notification_id == n.id).correlate(Notification).scalar_subquery() == 1)
    if wanted.batch_id is not None:
        found.append(n.batch_id == wanted.batch_id)
    if wanted.created_after is not None:
        found.append(n.created_at >= wanted.created_after)
    if wanted.created_before is not None:
        found.append(n.created_at < wanted.created_before)
    if not wanted.copies:
        found.append(n.parent_id.is_(None))
    return found
