"""What is asked of the statistics: the figures of periods, of one service or of all, and of one template or of all."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import TextClause, Uuid, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db import dialect
from notifier.db.tables import StatisticsRange, Template, get_columns
from notifier.states import Status
from notifier.statistics import roll_up
from notifier.statistics.latency_histogram import NO_BUCKET, estimate_quantile
from notifier.statistics.roll_up import Period
from notifier.statistics.roll_up_sql import QUARTER_SECONDS

SENT_STATUSES = (Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED)
"""Statuses of mail that a relay has accepted."""
FAILED_STATUSES = (Status.FAILED, Status.EXPIRED)
MEDIAN, P95 = 0.5, 0.95
_Key = TypeVar("_Key")
_PERIOD = {"position": "int", "start_quarter": "int", "stop_quarter": "int"}
_range, _template = get_columns(StatisticsRange), get_columns(Template)


@dataclass(kw_only=True)
class PeriodFigures:
    """The figures of the notifications that were created in a period."""

    period: Period
    statuses: Counter[Status] = field(default_factory=Counter)  # by what the status is now
    reasons: Counter[str] = field(default_factory=Counter)  # of those that have failed or expired
    buckets: Counter[int] = field(default_factory=Counter)  # time to 250

    @property
    def total(self) -> int:
        """All notifications."""
        return self.statuses.total()

    @property
    def sent(self) -> int:
        """Those that a relay has accepted, whatever came later."""
        return sum(self.statuses[status] for status in SENT_STATUSES)

    @property
    def failed(self) -> int:
        """Those that have failed or expired."""
        return sum(self.statuses[status] for status in FAILED_STATUSES)

    def get_seconds(self, quantile: float) -> float | None:
        """Get an estimated quantile of the time to 250, in seconds; None if nothing was accepted."""
        return estimate_quantile(self.buckets, quantile)


@dataclass(frozen=True, kw_only=True)
class StatisticsFilter:
    """Whose notifications are counted; None: any."""

    service_id: UUID | None = None
    template: str | None = None  # slug


async def load_figures(
    connection: AsyncConnection, periods: Sequence[Period], filters: StatisticsFilter
) -> list[PeriodFigures]:
    """Load the figures of each period, in the same order. Periods begin and end with quarters of an hour."""
    figures = [PeriodFigures(period=period) for period in periods]
    values: dict[str, object] = {
        "rows": dialect.encode_rows(_build_rows(periods), sqlite=dialect.is_sqlite(connection))
    }
    if filters.service_id is not None:
        values["service_id"] = filters.service_id
    if filters.template is not None:
        template_id = await connection.scalar(select(_template.id).where(_template.slug == filters.template))
        if template_id is None:
            return figures
        values["template_id"] = template_id
    statement = _build_figures_query(
        by_service="service_id" in values, by_template="template_id" in values, sqlite=dialect.is_sqlite(connection)
    )
    for row in await connection.execute(statement, values):
        _add_count(figures[row.position], row)
    return figures


def sum_figures(figures: Sequence[PeriodFigures]) -> PeriodFigures:
    """Sum the figures of consecutive periods; there must be one."""
    whole = Period(start=figures[0].period.start, stop=figures[-1].period.stop)
    return PeriodFigures(
        period=whole,
        statuses=_sum_counters(each.statuses for each in figures),
        reasons=_sum_counters(each.reasons for each in figures),
        buckets=_sum_counters(each.buckets for each in figures),
    )


async def find_counted_at(connection: AsyncConnection, period: Period) -> datetime | None:
    """Find since when the counts of a period may be out of date; None: some were never counted."""
    query = select(_range.counted_at).where(*roll_up.build_overlap_conditions(period))
    earliest = query.order_by(_range.counted_at.asc().nulls_first()).limit(1)
    return (await connection.execute(earliest)).scalar_one_or_none()


def _sum_counters(counters: "Iterable[Counter[_Key]]") -> "Counter[_Key]":
    total: Counter[_Key] = Counter()
    for counter in counters:
        total.update(counter)
    return total


def _build_rows(periods: Sequence[Period]) -> list[dict[str, int]]:
    return [
        {
            "position": position,
            "start_quarter": int(period.start.timestamp() // QUARTER_SECONDS),
            "stop_quarter": int(period.stop.timestamp() // QUARTER_SECONDS),
        }
        for position, period in enumerate(periods)
    ]


def _add_count(figures: PeriodFigures, row: Any) -> None:
    status, reason, bucket, number = Status(row.status), row.reason, row.bucket, int(row.number)
    figures.statuses[status] += number
    if status in FAILED_STATUSES:
        figures.reasons[reason or status] += number
    if bucket != NO_BUCKET:
        figures.buckets[bucket] += number


@cache
def _build_figures_query(*, by_service: bool, by_template: bool, sqlite: bool) -> TextClause:
    conditions = ["c.quarter >= r.start_quarter", "c.quarter < r.stop_quarter"]
    binds = []
    for name, is_given in (("service_id", by_service), ("template_id", by_template)):
        if is_given:
            conditions.append(f"c.{name} = :{name}")
            binds.append(bindparam(name, type_=Uuid()))
    statement = text(
        f"{dialect.build_rows_source(_PERIOD, sqlite=sqlite)}"  # noqa: S608 - names of our own columns
        " SELECT r.position, c.status, c.reason, c.bucket, sum(c.number) AS number"
        f" FROM r JOIN statistics_count AS c ON {' AND '.join(conditions)}"
        " GROUP BY r.position, c.status, c.reason, c.bucket"
    )
    return statement.bindparams(*binds)
