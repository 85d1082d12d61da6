"""The totals of each hour, of every service and of all together: without them, a year would be millions of counts.

They change with the counts, in the same transaction. So they are always the sums of the counts.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import encode_rows, is_sqlite
from notifier.db.tables import INSTANCE, StatisticsHour, get_columns
from notifier.statistics.counts import CountKey, Counts
from notifier.statistics.latency_histogram import NO_BUCKET
from notifier.statistics.roll_up_sql import ADD_TO_HOURS, DELETE_EMPTY_HOURS, HOUR_SECONDS, QUARTERS_OF_HOUR

_hour = get_columns(StatisticsHour)


@dataclass(frozen=True, kw_only=True)
class BusyHour:
    """An hour, and how many notifications were created in it."""

    start: datetime
    number: int


async def find_busiest_hour(connection: AsyncConnection, since: datetime) -> BusyHour | None:
    """Find the hour with the most notifications, as far as they are counted; None: none is."""
    number = func.sum(_hour.number)
    first = int(since.timestamp()) // HOUR_SECONDS
    statuses = _hour.measure.contains(":")  # the other measures are buckets
    totals = select(_hour.hour, number).where(_hour.service_id == INSTANCE, _hour.hour >= first, statuses)
    row = (await connection.execute(totals.group_by(_hour.hour).order_by(number.desc()).limit(1))).one_or_none()
    return (
        None if row is None else BusyHour(start=datetime.fromtimestamp(row[0] * HOUR_SECONDS, UTC), number=int(row[1]))
    )


class HourKey(NamedTuple):
    """What the notifications of one total have in common."""

    service_id: UUID  # INSTANCE: all services
    hour: int
    measure: str  # a status with its reason, or a bucket


def sum_changes(outdated: Counts, new: Counts) -> Counter[HourKey]:
    """Sum by how much each total changes when the outdated counts are replaced by the new ones."""
    changes: Counter[HourKey] = Counter()
    for counts, sign in ((outdated, -1), (new, 1)):
        for key, number in counts.items():
            for owner, measure in product((key.service_id, INSTANCE), _list_measures(key)):
                changes[HourKey(owner, key.quarter // QUARTERS_OF_HOUR, measure)] += sign * number
    return changes


def _list_measures(key: CountKey) -> list[str]:
    """Status and bucket apart, because nobody asks for the times of one status: this makes half as many totals."""
    measures = [f"{key.status}:{key.reason}"]
    return measures if key.bucket == NO_BUCKET else [*measures, str(key.bucket)]


async def add_to_hours(connection: AsyncConnection, changes: Mapping[HourKey, int]) -> None:
    """Add the changes to the totals; what becomes zero is deleted."""
    rows = [key._asdict() | {"number": number} for key, number in changes.items() if number]
    sqlite = is_sqlite(connection)
    if rows:
        await connection.execute(ADD_TO_HOURS.for_connection(connection), {"rows": encode_rows(rows, sqlite=sqlite)})
    if reduced := [row for row in rows if row["number"] < 0]:
        bound = {"rows": encode_rows(reduced, sqlite=sqlite)}
        await connection.execute(DELETE_EMPTY_HOURS.for_connection(connection), bound)


async def delete_old_hour(connection: AsyncConnection, now: datetime, max_age: timedelta) -> None:
    """Delete the oldest hour if it is older than that."""
    oldest: int | None = await connection.scalar(select(func.min(_hour.hour)))
    if oldest is not None and oldest < int((now - max_age).timestamp()) // HOUR_SECONDS:
        await connection.execute(delete(StatisticsHour).where(_hour.hour == oldest))
