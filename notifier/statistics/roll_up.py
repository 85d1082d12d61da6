"""The roll-up: counts the notifications of a range of ids, again and again, as long as their status may change.

The ranges divide all ids, so each notification is counted in exactly one. A count replaces the count before. So a step
that is repeated, or done by two processes, changes nothing. Nothing is written when mail is submitted or sent.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import insert_if_absent
from notifier.db.engine import Database
from notifier.db.tables import Notification, StatisticsCount, StatisticsRange, get_columns
from notifier.ids import get_first_id, get_id_time
from notifier.states import Status
from notifier.statistics.roll_up_sql import COUNT_RANGE

MAX_ROWS = 10_000
"""Notifications of one range, unless more of them become visible late."""
MAX_RANGES = 20
"""Ranges of one step."""
MAX_COUNTS = 1_000
"""Counts of one range; one with more is split. They are written in one transaction."""
MAX_STEP_ROWS, MAX_STEP_CHANGES = 10_000, 1_000
"""Notifications and changed counts after which a step counts no other range."""
SPAN = timedelta(hours=1)
"""The time that one range covers at most."""
MIN_WAIT, MAX_WAIT = timedelta(seconds=45), timedelta(days=1)
AGE_SHARE = 4
"""A range is counted again after a quarter of its age. So a late change is counted soon, and old mail seldom read."""
LAST_COUNT_AGE = timedelta(days=95)
"""A range of this age is not counted again."""
MAX_AGE = timedelta(days=800)
"""Counts of this age are deleted."""
MAX_DELETED_RANGES = 20  # of one step
MAX_CLOCK_SKEW = timedelta(hours=2)
"""Between the clocks of the hosts, which make the ids, and that of the database, which makes the times."""
NO_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)
_EPOCH, _NEVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_id = get_columns(Notification).id
_range, _count = get_columns(StatisticsRange), get_columns(StatisticsCount)


class CountKey(NamedTuple):
    """The values that the notifications of one count share."""

    quarter: int
    service_id: UUID
    template_id: UUID
    status: Status
    reason: str
    bucket: int


Counts = Mapping[CountKey, int]
_DELETE_COUNT = delete(StatisticsCount).where(
    *(_count[name] == bindparam(f"old_{name}", type_=_count[name].type) for name in CountKey._fields)
)


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
    outdated: Sequence[CountKey]  # counts to be deleted
    new: Counts


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
            counted.append(await _count_range(connection, IdRange(**row)))
        changes = sum(len(each.outdated) + len(each.new) for each in counted)
        if changes >= MAX_STEP_CHANGES or sum(each.number for each in counted) >= MAX_STEP_ROWS:
            break
    return counted


async def _count_range(connection: AsyncConnection, range_: IdRange) -> CountedRange:
    """Count a range up to the place where it must be split, and compare with the stored counts.

    What is stored cannot change before the counts are written, unless the revision of the range changes too.
    """
    stop_id = range_.stop_id or LAST_ID
    may_split = range_.stop_id is None or range_.counted_at is None  # others were small enough when they were counted
    split_id, was_counted, rows = None, False, MAX_ROWS
    while True:
        if may_split:
            split_id, was_counted = await _find_split(connection, range_.first_id, stop_id, rows)
        bounds = {"first_id": range_.first_id, "stop_id": split_id or stop_id}
        result = await connection.execute(COUNT_RANGE.for_connection(connection), bounds)
        counts = dict(map(_parse_count, result.mappings()))
        number = sum(counts.values())
        if not may_split or len(counts) <= MAX_COUNTS:
            break
        rows = min(rows, number) // 2
    stored = await _load_counts(connection, range_.first_id)
    final = counts if was_counted else merge_counts(stored, counts)
    return CountedRange(
        range=range_,
        split_id=split_id,
        number=number,
        outdated=[key for key, value in stored.items() if final.get(key) != value],
        new={key: value for key, value in final.items() if stored.get(key) != value},
    )


def _parse_count(row: Mapping[Any, Any]) -> tuple[CountKey, int]:
    values = {name: row[name] for name in CountKey._fields} | {"status": Status(row["status"])}
    return CountKey(**values), row["number"]


async def _find_split(
    connection: AsyncConnection, first_id: UUID, stop_id: UUID, rows: int
) -> tuple[UUID | None, bool]:
    """Find the first id that does not fit into the range: an hour after its beginning, or behind so many rows.

    Returns the id, and whether earlier counts of the range may have included it. The hour does not depend on rows,
    because they may have been purged.
    """
    end = get_first_id(get_id_time(first_id) + SPAN)
    ids = select(_id).where(_id < stop_id).order_by(_id)
    later: UUID | None = await connection.scalar(ids.where(_id >= max(first_id, end)).limit(1))
    beyond: UUID | None = await connection.scalar(ids.where(_id >= first_id).offset(rows).limit(1))
    if beyond is not None and (later is None or beyond < later):
        return beyond, True
    return later, False


async def write_counted_ranges(connection: AsyncConnection, counted: Sequence[CountedRange], now: datetime) -> int:
    """Write the counts of these ranges, as of `now`; returns how many counts have changed.

    A range that another process has counted meanwhile is left as it is.
    """
    changed = 0
    for each in sorted(counted, key=lambda each: each.range.first_id):  # in one order, so that two never deadlock
        query = select(_range.revision).where(_range.first_id == each.range.first_id).with_for_update()
        if await connection.scalar(query) == each.range.revision:
            changed += await _write_counted_range(connection, each, now)
    return changed


async def _write_counted_range(connection: AsyncConnection, counted: CountedRange, now: datetime) -> int:
    range_ = counted.range
    if counted.split_id is not None:
        rest = {"first_id": counted.split_id, "due_at": _EPOCH, "revision": 0}
        await insert_if_absent(connection, StatisticsRange, rest)
    if counted.outdated:
        keys = [{f"old_{name}": value for name, value in key._asdict().items()} for key in counted.outdated]
        await connection.execute(_DELETE_COUNT.where(_count.first_id == range_.first_id), keys)
    if counted.new:
        rows = [{"first_id": range_.first_id, **key._asdict(), "number": value} for key, value in counted.new.items()]
        await connection.execute(insert(StatisticsCount), rows)
    due_at = compute_due_time(counted.split_id or range_.stop_id, now)
    values = {"counted_at": now, "due_at": due_at, "revision": range_.revision + 1}
    await connection.execute(update(StatisticsRange).where(_range.first_id == range_.first_id).values(values))
    return len({*counted.outdated, *counted.new})


def merge_counts(stored: Counts, counted: Counts) -> Counts:
    """Replace the stored counts, but keep those of a service's template of which notifications were deleted since.

    Only a purge makes the sum smaller.
    """
    before, after = _sum_by_template(stored), _sum_by_template(counted)
    purged = {key for key, number in before.items() if after[key] < number}
    kept = {key: number for key, number in stored.items() if key[1:3] in purged}
    return kept | {key: number for key, number in counted.items() if key[1:3] not in purged}


def _sum_by_template(counts: Counts) -> Counter[tuple[UUID, UUID]]:
    sums: Counter[tuple[UUID, UUID]] = Counter()
    for key, number in counts.items():
        sums[key.service_id, key.template_id] += number
    return sums


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
    """Delete some of the ranges whose mail is over 800 days old; returns how many. The last range always stays."""
    columns = [_range.first_id]
    oldest = select(*columns).where(_range.first_id < get_first_id(now - MAX_AGE)).order_by(_range.first_id)
    ids = (await connection.execute(oldest.limit(MAX_DELETED_RANGES + 1))).scalars().all()[:-1]
    if ids:
        await connection.execute(delete(StatisticsCount).where(_count.first_id.in_(ids)))
        await connection.execute(delete(StatisticsRange).where(_range.first_id.in_(ids)))
    return len(ids)
