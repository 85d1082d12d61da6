"""Search notifications of one service or of all: a page is read by indexes, newest first, and the id is the cursor.

No page examines more than `MAX_ROWS_EXAMINED` rows, so that every combination of filters is fast. So a page may have
fewer rows than its limit, or none, before the end.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import confirm_read
from notifier.db.tables import Template, get_columns
from notifier.ids import get_first_id
from notifier.lookup.index_walk import (
    NotificationFilter,
    PreparedSearch,
    choose_index,
    is_led_by_service,
    select_passing,
)
from notifier.lookup.notification_view import NotificationView, list_notifications
from notifier.lookup.service_walks import FoundIds, SearchRange, find_over_services

MAX_ROWS_EXAMINED = 2_000  # rows that one page examines
MAX_CLOCK_SKEW = timedelta(hours=2)
"""Between the clocks of the hosts, which make the ids, and the clock of the database, which makes the times."""
_FIRST_DAY, _LAST_DAY = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Times are limited to these days, because arithmetic at the ends of the calendar overflows."""
_ID_DIGITS = 32
NO_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)
"""Below and above all ids. `NO_ID` is also used for a template that does not exist."""
_template = get_columns(Template)


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


async def search_notifications(
    connection: AsyncConnection,
    service_id: UUID | None,
    query: NotificationFilter,
    page: PageRequest,
    *,
    now: datetime,
) -> NotificationPage:
    """Find a page of notifications of the service, or of all services if it is None, without their attempts."""
    query = replace(
        query, created_after=_clamp_time(query.created_after), created_before=_clamp_time(query.created_before)
    )
    template_id = await _find_template_id(connection, query.template)
    search = PreparedSearch(service_id=service_id, query=query, template_id=template_id, now=now)
    first, end = _compute_bounds(query, page.before)
    part = SearchRange(first=first, end=end, limit=page.limit, max_rows=page.max_rows)
    if service_id is None and is_led_by_service(query):
        found = await find_over_services(connection, search, part)
    else:
        found = await _find_in_index(connection, search, part)
    if query.idempotency_key is not None and found.ids:
        await confirm_read(connection)  # for who lost the answer to a POST, this is the answer
    if len(found.ids) > page.limit:
        page_ids = found.ids[: page.limit]
        return NotificationPage(views=await list_notifications(connection, page_ids), next=page_ids[-1])
    return NotificationPage(views=await list_notifications(connection, found.ids), next=found.next)


async def _find_in_index(connection: AsyncConnection, search: PreparedSearch, part: SearchRange) -> FoundIds:
    """Find ids by one walk of one index."""
    examined = choose_index(search, search.service_id).rows(part.first, part.end).limit(part.max_rows)
    candidate = examined.subquery("w")
    *_, id_ = candidate.c
    passes = select_passing(candidate, id_, search)
    statement = select(id_).where(passes).order_by(*(column.desc() for column in candidate.c)).limit(part.limit + 1)
    ids = list((await connection.execute(statement)).scalars())
    if len(ids) > part.limit:
        return FoundIds(ids=ids, next=ids[part.limit - 1])
    last = (await connection.execute(examined.limit(1).offset(part.max_rows - 1))).first()
    return FoundIds(ids=ids, next=last[-1] if last else None)


async def _find_template_id(connection: AsyncConnection, slug: str | None) -> UUID | None:
    if slug is None:
        return None
    result = await connection.execute(select(_template.id).where(_template.slug == slug))
    return result.scalar_one_or_none() or NO_ID


def _clamp_time(time: datetime | None) -> datetime | None:
    return time and min(max(time, _FIRST_DAY), _LAST_DAY)


def _compute_bounds(query: NotificationFilter, before: UUID | None) -> tuple[UUID, UUID]:
    first, end = NO_ID, before or LAST_ID
    if query.id_prefix is not None:
        first = UUID(query.id_prefix.ljust(_ID_DIGITS, "0"))
        following = int(query.id_prefix.ljust(_ID_DIGITS, "f"), 16) + 1
        end = min(end, UUID(int=min(following, LAST_ID.int)))
    if query.created_after is not None:
        first = get_first_id(query.created_after - MAX_CLOCK_SKEW)
    if query.created_before is not None:
        end = min(end, get_first_id(query.created_before + MAX_CLOCK_SKEW))
    return first, end
