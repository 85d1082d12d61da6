"""A page of a service's notifications, by whatever is asked for: each filter has an index in the order of the pages.

The id is the cursor: it begins with the time at which it was made.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import address
from notifier.db.tables import Notification, NotificationTag, StatusIndex, Template, columns
from notifier.ids import first_id_of
from notifier.notification.find import NotificationView, views
from notifier.states import FOUND_BY_STATUS, Status

MOST_SKEW = timedelta(hours=2)
"""Ids are made by the clocks of hosts, times by that of the database; so far apart they may be."""

NO_TEMPLATE = UUID(int=0)
"""Of a slug that nobody has published."""

_notification, _template = columns(Notification), columns(Template)
_listed, _tagged = columns(StatusIndex), columns(NotificationTag)


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


async def page(
    connection: AsyncConnection, service_id: UUID, wanted: Filter, *, before: UUID | None, limit: int, now: datetime
) -> list[NotificationView]:
    """A service's newest notifications older than `before` that pass the filter, without their attempts."""
    statement, id_ = _driving(service_id, wanted)
    statement = statement.where(_notification.service_id == service_id)
    for column, value in await _equal(connection, wanted):
        statement = statement.where(column == value)
    if wanted.scheduled is not None:
        ahead = _notification.send_at > now
        statement = statement.where(ahead if wanted.scheduled else ~ahead)
    if not wanted.copies:
        statement = statement.where(_notification.parent_id.is_(None))
    statement = _between(statement, id_, wanted)
    if before is not None:
        statement = statement.where(id_ < before)
    found = list((await connection.execute(statement.order_by(id_.desc()).limit(limit))).scalars())
    return await views(connection, found)


def _driving(service_id: UUID, wanted: Filter) -> tuple[Select[Any], Column[Any]]:
    """From the table with the fewest rows to read: by tag, by a status that few have, or by the rest."""
    if wanted.tag is not None:
        joined = select(_tagged.notification_id).join(Notification, _notification.id == _tagged.notification_id)
        return joined.where(_tagged.service_id == service_id, _tagged.tag == wanted.tag), _tagged.notification_id
    if wanted.status in FOUND_BY_STATUS and wanted.batch_id is None:
        joined = select(_listed.notification_id).join(Notification, _notification.id == _listed.notification_id)
        return joined.where(_listed.service_id == service_id, _listed.status == wanted.status), _listed.notification_id
    return select(_notification.id), _notification.id


async def _equal(connection: AsyncConnection, wanted: Filter) -> list[tuple[Column[Any], Any]]:
    """Which columns must have which values."""
    found: list[tuple[Column[Any], Any]] = []
    if wanted.status is not None:
        found.append((_notification.status, wanted.status))
    if wanted.to is not None:
        found.append((_notification.address_key, address.key(wanted.to)))
    if wanted.batch_id is not None:
        found.append((_notification.batch_id, wanted.batch_id))
    if wanted.template is not None:
        by_slug = select(_template.id).where(_template.slug == wanted.template)
        found.append(
            (_notification.template_id, (await connection.execute(by_slug)).scalar_one_or_none() or UUID(int=0))
        )
    return found


def _between(statement: Select[Any], id_: Column[Any], wanted: Filter) -> Select[Any]:
    """The exact times; and the ids that may have been made then, by which they are found."""
    if wanted.created_after is not None:
        first = first_id_of(wanted.created_after - MOST_SKEW)
        statement = statement.where(id_ >= first, _notification.created_at >= wanted.created_after)
    if wanted.created_before is not None:
        first = first_id_of(wanted.created_before + MOST_SKEW)
        statement = statement.where(id_ < first, _notification.created_at < wanted.created_before)
    return statement
