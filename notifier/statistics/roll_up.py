"""The roll-up: counts the notifications of a range of ids, again and again, as long as their status may change.

The ranges divide all ids, so each notification is counted in exactly one. A count replaces the count before. So a step
that is repeated, or done by two processes, changes nothing. Nothing is written when mail is submitted or sent.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import encode_rows, insert_if_absent, is_sqlite
from notifier.db.engine import Database
from notifier.db.tables import Notification, StatisticsCount, StatisticsRange, get_columns
from notifier.ids import get_first_id, get_id_time
from notifier.states import Status
from notifier.statistics.counts import CountKey, Counts, merge_counts
from notifier.statistics.hour_totals import HourKey, add_to_hours, delete_old_hour, sum_changes
from notifier.statistics.roll_up_sql import COUNT_RANGE, DELETE_COUNTS, INSERT_COUNTS

MAX_ROWS = 10_000
"""Notifications of one range, unless more of them become visible late."""
MAX_RANGES = 20
"""Ranges of one step."""
MAX_COUNTS = 500
"""Counts of one range; one with more is split."""
MAX_STEP_ROWS = 10_000
"""Notifications after which a step counts no other range."""
MAX_STEP_CHANGES = 1_000
"""Counts that one transaction deletes and writes; the totals of hours change with them."""
SPAN = timedelta(hours=1)
"""The time that one range covers at most."""
MIN_WAIT, MAX_WAIT = timedelta(seconds=45), timedelta(days=1)
AGE_SHARE = 4
"""A range is counted again after a quarter of its age. So a late change is counted soon, and old mail seldom read."""
LAST_COUNT_AGE = timedelta(days=95)
"""A range of this age is not counted again."""
MAX_AGE = timedelta(days=800)
"""Counts of this age are deleted."""
MAX_DELETED_RANGES = 2  # of one step
MAX_CLOCK_SKEW = timedelta(hours=2)
"""Between the clocks of the hosts, which make the ids, and that of the database, which makes the times."""
NO_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)
_EPOCH, _NEVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_id = get_columns(Notification).id
_range, _count = get_columns(StatisticsRange), get_columns(StatisticsCount)


@dataclass(frozen=True, kw_only=True)
class IdRange:
    """A range of ids, as it was read."""

    first_id: UUID
    stop_id: UUID | None  # the first id of the next range; None: there is none
    counted_at: datetime | None
    revision: int


@dataclass(frozen=True, kw_only=True)
class CountedRange:
    """A range that was counted, and how its counts differ from the stored ones."""

    range: IdRange
    split_id: UUID | None  # where a new range begins, because this one is too large; None: nowhere
    number: int  # notifications
    outdated: Counts  # stored counts to be deleted
    new: Counts

    @property
    def changes(self) -> int:
        """How many counts are deleted or written."""
        return len(self.outdated) + len(self.new)


@dataclass(frozen=True, kw_only=True)
class Period:
    """A time from `start` until before `stop`."""

    start: datetime
    stop: datetime


async def count_due_ranges(database: Database, due_until: datetime) -> list[CountedRange]:
    """Count some of the ranges that are due; none: all have been counted."""
    query = _select_ranges().where(_range.due_at <= due_until).order_by(_range.due_at, _range.first_id)
    return await _count_ranges(database, query)


async def count_period(database: Database, period: Period, counted_after: datetime) -> list[CountedRange]:
    """Count some of the ranges of a period that were not counted since; none: all have been counted."""
    query = _select_ranges().where(*build_overlap_conditions(period))
    query = query.where(_range.counted_at.is_(None) | (_range.counted_at < counted_after)).order_by(_range.first_id)
    return await _count_ranges(database, query)


def build_overlap_conditions(period: Period) -> tuple[Any, ...]:
    """SQL conditions for the ranges that may have notifications of a period."""
    first, stop = get_first_id(period.start - MAX_CLOCK_SKEW), get_first_id(period.stop + MAX_CLOCK_SKEW)
    other = StatisticsRange.__table__.alias()  # type: ignore[attr-defined]
    around = select(other.c.first_id).where(other.c.first_id <= first).order_by(other.c.first_id.desc()).limit(1)
    return _range.first_id < stop, (_range.first_id >= first) | (_range.first_id == around.scalar_subquery())


def _select_ranges() -> Select[Any]:
    other = StatisticsRange.__table__.alias()  # type: ignore[attr-defined]
    following = select(other.c.first_id).where(other.c.first_id > _range.first_id).order_by(other.c.first_id).limit(1)
    stop = following.correlate(StatisticsRange.__table__).scalar_subquery().label("stop_id")  # type: ignore[attr-defined]
    return select(_range.first_id, stop, _range.counted_at, _range.revision)


async def _count_ranges(database: Database, query: Select[Any]) -> list[CountedRange]:
    async with database.read() as connection:
        rows = (await connection.execute(query.limit(MAX_RANGES))).mappings().all()
    counted: list[CountedRange] = []
    for row in rows:
        async with database.read() as connection:
            each = await _count_range(connection, IdRange(**row))
        if counted and sum(other.changes for other in counted) + each.changes > MAX_STEP_CHANGES:
            break  # it is counted again in the next step
        counted.append(each)
        if sum(other.number for other in counted) >= MAX_STEP_ROWS:
            break
    return counted


async def _count_range(connection: AsyncConnection, range_: IdRange) -> CountedRange:
    """Count a range up to the place where it must be split, and compare with the stored counts.

    What is stored cannot change before the counts are written, unless the revision of the range changes too.
    """
    stored = await _load_counts(connection, range_.first_id)
    is_growing = range_.stop_id is None or range_.counted_at is None
    if is_growing:
        split_id, is_part, counts = await _count_part(connection, range_)
    else:
        split_id, is_part, counts = None, False, await _count_ids(connection, range_.first_id, range_.stop_id)
        if len(counts) > MAX_COUNTS and merge_counts(stored, counts) == counts:  # nothing of it was purged
            split_id, _, counts = await _count_part(connection, range_)
            is_part = True
    final = counts if is_part else merge_counts(stored, counts)
    return CountedRange(
        range=range_,
        split_id=split_id,
        number=sum(counts.values()),
        outdated={key: value for key, value in stored.items() if final.get(key) != value},
        new={key: value for key, value in final.items() if stored.get(key) != value},
    )


async def _count_part(connection: AsyncConnection, range_: IdRange) -> tuple[UUID | None, bool, Counts]:
    """Count the first rows of a range, so many that there are not too many counts.

    Returns where the rest begins, whether earlier counts may have included the rest, and the counts.
    """
    rows = min(MAX_COUNTS, MAX_ROWS)  # they cannot have more counts than that
    part: tuple[UUID | None, bool, Counts] = (None, False, {})
    while True:
        split_id, is_part = await _find_split(connection, range_, rows)
        counts = await _count_ids(connection, range_.first_id, split_id or range_.stop_id)
        if len(counts) > MAX_COUNTS:
            return part
        part = split_id, is_part, counts
        more = min(MAX_ROWS, rows * MAX_COUNTS // max(1, len(counts)))  # as many counts for each row as until now
        if not is_part or more < 2 * rows:
            return part
        rows = more


async def _count_ids(connection: AsyncConnection, first_id: UUID, stop_id: UUID | None) -> Counts:
    bounds = {"first_id": first_id, "stop_id": stop_id or LAST_ID}
    result = await connection.execute(COUNT_RANGE.for_connection(connection), bounds)
    return dict(map(_parse_count, result.mappings()))


def _parse_count(row: Mapping[Any, Any]) -> tuple[CountKey, int]:
    values = {name: row[name] for name in CountKey._fields} | {"status": Status(row["status"])}
    return CountKey(**values), row["number"]


async def _find_split(connection: AsyncConnection, range_: IdRange, rows: int) -> tuple[UUID | None, bool]:
    """Find the first id that does not fit into the range: an hour after its beginning, or behind so many rows.

    Returns the id, and whether it is behind the rows: then earlier counts of the range may have included it. The hour
    does not depend on rows, because they may have been purged.
    """
    end = get_first_id(get_id_time(range_.first_id) + SPAN)
    ids = select(_id).where(_id < (range_.stop_id or LAST_ID)).order_by(_id)
    later: UUID | None = await connection.scalar(ids.where(_id >= max(range_.first_id, end)).limit(1))
    beyond: UUID | None = await connection.scalar(ids.where(_id >= range_.first_id).offset(rows).limit(1))
    if beyond is not None and (later is None or beyond < later):
        return beyond, True
    return later, False


async def write_counted_ranges(connection: AsyncConnection, counted: Sequence[CountedRange], now: datetime) -> int:
    """Write the counts of these ranges, as of `now`; returns how many counts have changed.

    A range that another process has counted meanwhile is left as it is.
    """
    changed = 0
    changes: Counter[HourKey] = Counter()
    for each in sorted(counted, key=lambda each: each.range.first_id):  # in one order, so that two never deadlock
        query = select(_range.revision).where(_range.first_id == each.range.first_id).with_for_update()
        if await connection.scalar(query) == each.range.revision:
            await _write_counted_range(connection, each, now)
            changed += len({*each.outdated, *each.new})
            changes.update(sum_changes(each.outdated, each.new))
    await add_to_hours(connection, changes)
    return changed


async def _write_counted_range(connection: AsyncConnection, counted: CountedRange, now: datetime) -> None:
    range_ = counted.range
    if counted.split_id is not None:
        rest = {"first_id": counted.split_id, "due_at": _EPOCH, "revision": 0}
        await insert_if_absent(connection, StatisticsRange, rest)
    for counts, statement in ((counted.outdated, DELETE_COUNTS), (counted.new, INSERT_COUNTS)):
        if counts:
            rows = [key._asdict() | {"number": number} for key, number in counts.items()]
            bound = {"first_id": range_.first_id, "rows": encode_rows(rows, sqlite=is_sqlite(connection))}
            await connection.execute(statement.for_connection(connection), bound)
    due_at = compute_due_time(counted.split_id or range_.stop_id, now)
    values = {"counted_at": now, "due_at": due_at, "revision": range_.revision + 1}
    await connection.execute(update(StatisticsRange).where(_range.first_id == range_.first_id).values(values))


def compute_due_time(stop_id: UUID | None, now: datetime) -> datetime:
    """Compute when a range is counted again; `stop_id` None: it is the last one, which grows."""
    if stop_id is None:
        return now + MIN_WAIT
    age = now - get_id_time(stop_id)
    if age > LAST_COUNT_AGE:
        return _NEVER
    return now + min(max(age / AGE_SHARE, MIN_WAIT), MAX_WAIT)


async def _load_counts(connection: AsyncConnection, first_id: UUID) -> dict[CountKey, int]:
    columns = [_count[name] for name in CountKey._fields]
    rows = await connection.execute(select(*columns, _count.number).where(_count.first_id == first_id))
    return dict(map(_parse_count, rows.mappings()))


async def delete_old_ranges(connection: AsyncConnection, now: datetime) -> int:
    """Delete some of the ranges whose mail is over 800 days old, and an hour; returns how many ranges.

    The last range always stays.
    """
    columns = [_range.first_id]
    oldest = select(*columns).where(_range.first_id < get_first_id(now - MAX_AGE)).order_by(_range.first_id)
    ids = (await connection.execute(oldest.limit(MAX_DELETED_RANGES + 1))).scalars().all()[:-1]
    if ids:
        await connection.execute(delete(StatisticsCount).where(_count.first_id.in_(ids)))
        await connection.execute(delete(StatisticsRange).where(_range.first_id.in_(ids)))
    await delete_old_hour(connection, now, MAX_AGE)
    return len(ids)
