"""Statistics of notifications: the call, and its reply. docs/statistics.md explains the figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypedDict, Unpack

from notifier.client.api_call import GET, Call, Reply, build_call, read_as


class StatisticsFilter(TypedDict, total=False):
    """Which notifications are counted."""

    by: Literal["hour", "day"]
    from_: datetime | None  # the first hour or day is the one with this time; None: a day or a week ago
    to: datetime | None  # before this time; None: now
    zone: str  # IANA time zone of the days; UTC by default
    template: str | None
    service: str | None  # for admin keys


@dataclass(frozen=True, kw_only=True)
class PeriodFigures(Reply):
    """The figures of the notifications that were submitted in a period."""

    start: datetime
    end: datetime  # before this time
    total: int
    sent: int  # accepted by a relay, whatever came later
    failed: int  # failed or expired
    statuses: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)  # why mail has failed or expired
    seconds_p50: float | None = None  # half of the mails were accepted within this time after `send_at`
    seconds_p95: float | None = None


@dataclass(frozen=True, kw_only=True)
class Statistics(Reply):
    """The figures of each period, and of all together."""

    by: str
    zone: str
    counted_at: datetime | None = None  # changes until this time are counted; None: some mail was not counted yet
    whole: PeriodFigures
    periods: tuple[PeriodFigures, ...]


def get_statistics(**filters: Unpack[StatisticsFilter]) -> Call[Statistics]:
    """Count notifications by the hour or day in which they were submitted."""
    return build_call(GET, ("stats",), read_as(Statistics), query=filters)
