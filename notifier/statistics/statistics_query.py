"""What is asked of the statistics: the figures of periods, of one service or of all, and of one template or of all."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db import dialect
from notifier.db.tables import INSTANCE, StatisticsRange, Template, get_columns
from notifier.states import Status
from notifier.statistics import roll_up
from notifier.statistics.latency_histogram import NO_BUCKET, estimate_quantile
from notifier.statistics.periods import InvalidPeriodError
from notifier.statistics.roll_up import Period
from notifier.statistics.roll_up_sql import (
    QUARTER_SECONDS,
    QUARTERS_OF_HOUR,
    READ_COUNTS,
    READ_COUNTS_OF_SERVICE,
    READ_TOTALS,
)

SENT_STATUSES = (Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED)
"""Statuses of mail that a relay has accepted."""
FAILED_STATUSES = (Status.FAILED, Status.EXPIRED)
_STATUSES = {status.value: status for status in Status}
MEDIAN, P95 = 0.5, 0.95
_Key = TypeVar("_Key")
MAX_READ_COUNTS = 300_000
"""Counts that one search reads, beside the totals of hours."""
_TOO_MANY = f"that is more than {MAX_READ_COUNTS:,} counts: ask for a shorter time, or for one service"
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

    def add_status(self, status: Status, reason: str, number: int) -> None:
        """Add notifications with a status."""
        self.statuses[status] += number
        if status in FAILED_STATUSES:
            self.reasons[reason or status] += number

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
    """Load the figures of each period, in the same order. Periods begin and end with quarters of an hour.

    Whole hours are read from the totals; the rest, and the figures of one template, from the counts. Raises
    `InvalidPeriodError` if these are too many.
    """
    figures = [PeriodFigures(period=period) for period in periods]
    spans = [_build_span(position, period) for position, period in enumerate(periods)]
    template_id: UUID | None = None
    if filters.template is not None:
        template_id = await connection.scalar(select(_template.id).where(_template.slug == filters.template))
        if template_id is None:
            return figures
    else:
        hours, spans = _divide_spans(spans)
        await _add_totals(connection, figures, hours, filters.service_id)
    await _add_counts(connection, figures, spans, filters.service_id, template_id)
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


# -- hours and quarters ------------------------------------------------------------------------------------------------


class _Span(NamedTuple):
    """A part of a period, in hours or in quarters of an hour since 1970."""

    position: int  # of the period
    start: int
    stop: int


def _build_span(position: int, period: Period) -> _Span:
    return _Span(position, *(int(time.timestamp() // QUARTER_SECONDS) for time in (period.start, period.stop)))


def _divide_spans(spans: Sequence[_Span]) -> tuple[list[_Span], list[_Span]]:
    """Divide spans of quarters into spans of whole hours, and the quarters that are left."""
    hours, rest = [], []
    for position, start, stop in spans:
        first, last = -(-start // QUARTERS_OF_HOUR), stop // QUARTERS_OF_HOUR
        if first >= last:
            rest.append(_Span(position, start, stop))
            continue
        hours.append(_Span(position, first, last))
        left = (_Span(position, start, first * QUARTERS_OF_HOUR), _Span(position, last * QUARTERS_OF_HOUR, stop))
        rest += [span for span in left if span.start < span.stop]
    return hours, rest


async def _add_totals(
    connection: AsyncConnection, figures: Sequence[PeriodFigures], spans: Sequence[_Span], service_id: UUID | None
) -> None:
    if not spans:
        return
    values: dict[str, object] = {"owner": service_id or INSTANCE}
    if dialect.is_sqlite(connection):
        rows = [span._asdict() | {"place": 2 * index + 1} for index, span in enumerate(spans)]
        values["rows"] = dialect.encode_rows(rows, sqlite=True)
    else:
        values["bounds"] = [bound for span in spans for bound in (span.start, span.stop)]
        values |= {"start": spans[0].start, "stop": spans[-1].stop}
    for place, measure, number in await connection.execute(READ_TOTALS.for_connection(connection), values):
        if place % 2:  # else it is between two spans
            each = figures[spans[place // 2].position]
            status, is_status, reason = measure.partition(":")
            if is_status:
                each.add_status(_STATUSES[status], reason, number)
            else:
                each.buckets[int(measure)] += number


async def _add_counts(
    connection: AsyncConnection,
    figures: Sequence[PeriodFigures],
    spans: Sequence[_Span],
    service_id: UUID | None,
    template_id: UUID | None,
) -> None:
    if not spans:
        return
    sqlite = dialect.is_sqlite(connection)
    values: dict[str, object] = {
        "rows": dialect.encode_rows([span._asdict() for span in spans], sqlite=sqlite),
        "template_id": template_id,
        "most": MAX_READ_COUNTS + 1,
    }
    if service_id is not None:
        values["service_id"] = service_id
    statement = READ_COUNTS_OF_SERVICE if service_id is not None else READ_COUNTS
    rows = (await connection.execute(statement.for_connection(connection), values)).all()
    if sum(row.examined for row in rows) > MAX_READ_COUNTS:
        raise InvalidPeriodError("from", _TOO_MANY)
    for row in rows:
        if row.number is not None:
            figures[row.position].add_status(_STATUSES[row.status], row.reason, row.number)
            if row.bucket != NO_BUCKET:
                figures[row.position].buckets[row.bucket] += row.number
