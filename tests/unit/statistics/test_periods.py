"""Hours and days in zones whose clocks change."""

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from notifier.statistics import periods
from notifier.statistics.periods import InvalidPeriodError, PeriodLength

ZONES = ("UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu", "America/New_York")


@pytest.mark.parametrize("name", ZONES)
def test_days_follow_each_other_without_gaps(name: str) -> None:
    """Over two years each day ends where the next begins, and begins with its own date and a quarter of an hour."""
    zone = ZoneInfo(name)
    for year in (2025, 2026):
        start, stop = datetime(year, 1, 1, tzinfo=UTC), datetime(year, 12, 31, tzinfo=UTC)
        listed = periods.list_periods(start, stop, PeriodLength.DAY, zone)
        assert all(one.stop == other.start for one, other in itertools.pairwise(listed))
        assert all(each.start.timestamp() % 900 == 0 for each in listed)
        dates = [each.start.astimezone(zone).date() for each in listed]
        assert dates == [dates[0] + timedelta(days=number) for number in range(len(dates))]
        before = [(each.start - timedelta(milliseconds=1)).astimezone(zone).date() for each in listed]
        assert before == [day - timedelta(days=1) for day in dates]


def test_a_day_of_the_change_has_25_or_23_hours() -> None:
    """In Berlin the day of the change in October is longer, and that in March shorter."""
    zone = ZoneInfo("Europe/Berlin")
    for day, hours in ((date(2026, 10, 25), 25), (date(2026, 3, 29), 23), (date(2026, 3, 30), 24)):
        period = periods.build_day(day, zone)
        assert period.stop - period.start == timedelta(hours=hours)
        listed = periods.list_periods(period.start, period.stop, PeriodLength.HOUR, zone)
        assert len(listed) == hours
        assert (listed[0].start, listed[-1].stop) == (period.start, period.stop)


def test_a_part_of_a_period_gives_the_whole_one() -> None:
    """The first and last day are whole days."""
    start = datetime(2026, 5, 1, 23, 59, tzinfo=UTC)
    listed = periods.list_periods(start, start + timedelta(minutes=2), PeriodLength.DAY, ZoneInfo("UTC"))
    assert [each.start.day for each in listed] == [1, 2]


@pytest.mark.parametrize(
    ("start", "stop", "by"),
    [
        (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), PeriodLength.DAY),
        (datetime.min.replace(tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), PeriodLength.DAY),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC), PeriodLength.DAY),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC), PeriodLength.HOUR),
        (datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC), PeriodLength.DAY),
    ],
)
def test_a_search_without_sense_or_too_large_is_refused(start: datetime, stop: datetime, by: PeriodLength) -> None:
    """One sentence says why."""
    with pytest.raises(InvalidPeriodError) as refusal:
        periods.list_periods(start, stop, by, ZoneInfo("UTC"))
    assert refusal.value.name == "from"


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "Europe", "a\x00b", "x" * 500])
def test_what_is_no_zone_is_refused(name: str) -> None:
    """Whatever is not the name of a zone is refused by one sentence."""
    with pytest.raises(InvalidPeriodError) as refusal:
        periods.parse_zone(name)
    assert refusal.value.name == "zone"
