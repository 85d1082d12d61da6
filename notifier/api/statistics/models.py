"""The query and the reply of the statistics."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from notifier.api import pagination
from notifier.api.fields import AwareTime
from notifier.api.service_choice import ServiceName
from notifier.states import Status
from notifier.statistics import statistics_query
from notifier.statistics.periods import MAX_DAYS, MAX_HOURS, PeriodLength
from notifier.statistics.statistics_query import PeriodFigures

_COUNTED_AT = "Changes until this time are counted, and perhaps later ones; null: some mail was not counted yet."


class FiguresQuery(BaseModel):
    """Which figures are shown."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[
        AwareTime | None,
        Query(alias="from", description="The first hour or day is the one with this time. Default: a day or a week."),
    ] = None
    to: Annotated[AwareTime | None, Query(description="Before this time. Default: now.")] = None
    by: Annotated[PeriodLength, Query(description=f"Hours, at most {MAX_HOURS}, or days, at most {MAX_DAYS}.")] = (
        PeriodLength.DAY
    )
    zone: Annotated[str, Query(max_length=64, pattern=pagination.NO_NUL, description="The time zone of the days.")] = (
        "UTC"
    )
    template: Annotated[
        str | None, Query(max_length=64, pattern=pagination.NO_NUL, description="Only of this template: its slug.")
    ] = None
    service: ServiceName = None


class FiguresOut(BaseModel):
    """The figures of the notifications that were submitted in a period."""

    start: datetime
    end: datetime = Field(description="Before this time.")
    total: int
    sent: int = Field(description="Accepted by a relay, whatever came later: sent, delivered, bounced or complained.")
    failed: int = Field(description="Failed or expired.")
    statuses: dict[Status, int] = Field(description="How many have each status now.")
    reasons: dict[str, int] = Field(description="Why mail has failed or expired.")
    seconds_p50: float | None = Field(
        description="Half of the mails were accepted within this time after `send_at`; null: none was."
    )
    seconds_p95: float | None = Field(description="95 % were accepted within this time.")


class StatisticsOut(BaseModel):
    """The figures of each period, and of all together."""

    by: PeriodLength
    zone: str
    counted_at: datetime | None = Field(description=_COUNTED_AT)
    whole: FiguresOut
    periods: list[FiguresOut]


def build_figures(figures: PeriodFigures) -> dict[str, Any]:
    """Build the reply for a period."""
    return {
        "start": figures.period.start,
        "end": figures.period.stop,
        "total": figures.total,
        "sent": figures.sent,
        "failed": figures.failed,
        "statuses": {status: figures.statuses[status] for status in Status},
        "reasons": dict(figures.reasons),
        "seconds_p50": figures.get_seconds(statistics_query.MEDIAN),
        "seconds_p95": figures.get_seconds(statistics_query.P95),
    }
