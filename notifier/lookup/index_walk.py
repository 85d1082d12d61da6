"""The walks by which notifications are found: a read of one index, newest first, and the conditions for its rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Select, bindparam, literal, select, tuple_
from sqlalchemy.sql.expression import FromClause

from notifier import email_address
from notifier.db.tables import Notification, NotificationTag, OutboxEntry, StatusIndex, get_columns
from notifier.outbox import entry_store
from notifier.states import INDEXED_STATUSES, Status

_notification = get_columns(Notification)
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
    idempotency_key: str | None = None
    id_prefix: str | None = None  # hexadecimal digits
    created_after: datetime | None = None
    created_before: datetime | None = None
    copies: bool = False  # list them too


@dataclass(frozen=True, kw_only=True)
class PreparedSearch:
    """A search with what its statements need."""

    service_id: UUID | None  # None: of all services
    query: NotificationFilter
    template_id: UUID | None  # of the slug in the filter
    now: datetime


@dataclass(frozen=True, kw_only=True)
class IndexWalk:
    """A read of one index: notifications with some equal values, by id."""

    shared: Sequence[tuple[Column[Any], Any]]  # a value may be a column of another table
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
            bounds.append(tuple_(*(_bind(column, value) for column, value in values)))
        labelled = [column.label(f"c{number}") for number, column in enumerate(names)]
        statement = select(*labelled).where(tuple_(*names) >= bounds[0], tuple_(*names) < bounds[1], *self.conditions)
        return statement.order_by(*(column.desc() for column in names))


def _bind(column: Column[Any], value: Any) -> Any:
    return value if isinstance(value, Column) else bindparam(None, value, type_=column.type, unique=True)


def choose_index(search: PreparedSearch, service: UUID | Column[Any] | None) -> IndexWalk:
    """Choose the index that probably has the fewest rows.

    `service`: an id, a column of ids, or None for an index that needs none, see `is_led_by_service`.
    """
    n, query, template_id = _notification, search.query, search.template_id
    own: list[tuple[Column[Any], Any]] = [] if service is None else [(n.service_id, service)]
    if query.idempotency_key is not None:
        # Compared one by one, because the planner reads all rows of a service for a row of these two and the id.
        own_key = [n.service_id == service, n.idempotency_key == query.idempotency_key]
        return IndexWalk(shared=[], id=n.id, conditions=own_key)
    if query.batch_id is not None:
        return IndexWalk(shared=[(n.batch_id, query.batch_id)], id=n.id, conditions=[n.batch_id.is_not(None)])
    if query.to is not None:
        return IndexWalk(shared=[*own, (n.address_key, email_address.get_address_key(query.to))], id=n.id)
    if query.status is not None and query.status is not Status.SENT:
        return _choose_status_index(service, query.status)
    if query.tag is not None:
        return IndexWalk(shared=[(_tagged.service_id, service), (_tagged.tag, query.tag)], id=_tagged.notification_id)
    return IndexWalk(shared=own if template_id is None else [*own, (n.template_id, template_id)], id=n.id)


def is_led_by_service(query: NotificationFilter) -> bool:
    """Whether the index for this search begins with the service, so that a search over all walks once for each."""
    if query.idempotency_key is not None:
        return True
    if query.batch_id is not None:
        return False
    if query.to is not None:
        return True
    if query.status is not None and query.status is not Status.SENT:
        return query.status not in INDEXED_STATUSES
    return query.tag is not None or query.template is not None


def _choose_status_index(service: UUID | Column[Any] | None, status: Status) -> IndexWalk:
    """The index for a status; not for `sent`, which most notifications have."""
    if status in INDEXED_STATUSES:
        own: list[tuple[Column[Any], Any]] = [] if service is None else [(_listed.service_id, service)]
        return IndexWalk(shared=[*own, (_listed.status, status)], id=_listed.notification_id)
    return IndexWalk(
        shared=[(_entry.service_id, service)], id=_entry.subject_id, conditions=[entry_store.SUBJECT_INDEX_CONDITION]
    )


def select_passing(candidate: FromClause, id_: ColumnElement[Any], search: PreparedSearch) -> ColumnElement[bool]:
    """Build the condition that the notification with the id of a candidate passes the filter.

    A scalar subquery runs row by row, in the order of the index. The planner may turn an EXISTS into a join.
    """
    passes = select(literal(1)).select_from(Notification).where(_notification.id == id_, *_list_conditions(search))
    return passes.correlate(candidate).scalar_subquery() == 1


def _list_conditions(search: PreparedSearch) -> list[ColumnElement[bool]]:
    n, query = _notification, search.query
    equal = [
        (n.service_id, search.service_id),
        (n.status, query.status),
        (n.address_key, email_address.get_address_key(query.to) if query.to is not None else None),
        (n.template_id, search.template_id),
        (n.batch_id, query.batch_id),
        (n.idempotency_key, query.idempotency_key),
    ]
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if query.scheduled is not None:
        conditions.append(n.send_at > search.now if query.scheduled else n.send_at <= search.now)
    if query.tag is not None:
        tagged = select(literal(1)).where(_tagged.service_id == n.service_id, _tagged.tag == query.tag)
        conditions.append(tagged.where(_tagged.notification_id == n.id).correlate(Notification).scalar_subquery() == 1)
    if query.created_after is not None:
        conditions.append(n.created_at >= query.created_after)
    if query.created_before is not None:
        conditions.append(n.created_at < query.created_before)
    if not query.copies:
        conditions.append(n.parent_id.is_(None))
    return conditions
