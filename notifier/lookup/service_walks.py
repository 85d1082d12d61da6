"""Search over all services by indexes that begin with the service: one walk for each, merged by id.

Each service is read down to its share of rows. The **horizon** is the highest id at which a service was stopped by its
share: above it all services are complete. So only ids above it are found, and it is the next cursor; each notification
comes exactly once. Services that were stopped are read again with a larger share, until a page is full or enough rows
were examined.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, literal_column, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import is_sqlite
from notifier.db.tables import Notification, Service, get_columns
from notifier.lookup.index_walk import PreparedSearch, choose_index, select_passing

_SHARE_GROWTH = 4
"""How many times larger the share of a service becomes when it is read again."""
_service, _notification = get_columns(Service), get_columns(Notification)


@dataclass(frozen=True, kw_only=True)
class SearchRange:
    """The ids to search, from `first` until before `end`, and how many."""

    first: UUID
    end: UUID
    limit: int  # ids that are wanted
    max_rows: int  # maximum of rows to examine


@dataclass(frozen=True, kw_only=True)
class FoundIds:
    """Ids, newest first; at most one more than the limit."""

    ids: list[UUID]
    next: UUID | None  # where the search goes on; None: this is all


@dataclass(frozen=True, kw_only=True)
class _ServiceWalk:
    """What was read of one service."""

    ids: list[UUID]  # that pass the filter
    stopped_at: UUID | None  # the id at which its share ended; None: it was read to the end


async def find_over_services(connection: AsyncConnection, search: PreparedSearch, part: SearchRange) -> FoundIds:
    """Find ids of all services, newest first."""
    stopped = list((await connection.execute(select(_service.id))).scalars())
    if not stopped:
        return FoundIds(ids=[], next=None)
    share, examined = max(2, (part.limit + 1) // len(stopped)), 0
    walks: dict[UUID, _ServiceWalk] = {}
    while True:
        share = max(1, min(share, (part.max_rows - examined) // len(stopped)))
        rows = await connection.execute(_select_shares(search, part, stopped, share, sqlite=is_sqlite(connection)))
        walks |= _sort_by_service(rows.all(), stopped, share)
        examined += share * len(stopped)
        found = _merge_walks(walks)
        stopped = [id_ for id_ in stopped if walks[id_].stopped_at is not None]
        if not stopped or len(found.ids) > part.limit or examined + len(stopped) > part.max_rows:
            return found
        share *= _SHARE_GROWTH


def _select_shares(
    search: PreparedSearch, part: SearchRange, services: Collection[UUID], share: int, *, sqlite: bool
) -> Select[Any]:
    """Select the newest `share` candidates of each service, and whether each passes the filter."""
    # As a literal: for a parameter, a generic plan assumes a tenth of the table, and reads and sorts that.
    limit: ColumnElement[int] = literal_column(str(share))
    walk = choose_index(search, _service.id).rows(part.first, part.end).limit(limit).correlate(Service)
    wanted = _service.id.in_(services)
    if sqlite:
        # SQLite has no LATERAL. Each id is looked up in the primary key, which is what the condition does as well.
        candidate = _notification.id.table.alias("w")
        *_, walked_id = walk.subquery("i").c
        passes = select_passing(candidate, candidate.c.id, search)
        statement = select(_service.id, candidate.c.id, passes)
        return statement.join_from(Service, candidate, candidate.c.id.in_(select(walked_id))).where(wanted)
    lateral = walk.lateral("w")
    *_, id_ = lateral.c
    passes = select_passing(lateral, id_, search)
    return select(_service.id, id_, passes).join_from(Service, lateral, true()).where(wanted)


def _sort_by_service(rows: Collection[Any], services: Collection[UUID], share: int) -> dict[UUID, _ServiceWalk]:
    examined: dict[UUID, list[UUID]] = {id_: [] for id_ in services}
    passing: dict[UUID, list[UUID]] = {id_: [] for id_ in services}
    for service_id, id_, passes in rows:
        examined[service_id].append(id_)
        if passes:
            passing[service_id].append(id_)
    return {
        id_: _ServiceWalk(ids=passing[id_], stopped_at=min(ids) if len(ids) >= share else None)
        for id_, ids in examined.items()
    }


def _merge_walks(walks: dict[UUID, _ServiceWalk]) -> FoundIds:
    horizon = max((walk.stopped_at for walk in walks.values() if walk.stopped_at is not None), default=None)
    ids = sorted((id_ for walk in walks.values() for id_ in walk.ids), reverse=True)
    return FoundIds(ids=[id_ for id_ in ids if horizon is None or id_ >= horizon], next=horizon)
