"""The times of schedules, compared with an oracle that walks the minutes of the clock, and what is refused."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice, pairwise, takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from support.run_selection import EVERYTHING

from notifier.jobs import timing
from notifier.jobs.timing import InvalidTimingError, UnknownZoneError

ZONES = ("Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
EXPRESSIONS = (
    *("0 9 * * *", "30 2 * * *", "0 0 * * *", "45 23 * * 1-5", "0,30 1-3 * * *", "10-50/20 0-2 * * 0"),
    *("*/30 * * * *", "*/5 2 * * *", "15 */2 * * *", "0 */3 * * *", "*/15 0 * * *", "*/7 1-3 * * *"),
    *("0 1,2,3 1,15 * 5", "0 0 1 */2 *", "20 1 */2 * 6,7"),
)
FIRST, LAST = datetime(2025, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
YEARS = 3 if EVERYTHING else 1
"""Years that each expression is walked through."""
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


class Minute(NamedTuple):
    """A minute of real time."""

    time: datetime
    wall: datetime  # what the clock shows
    is_repeated: bool  # the clock has shown it before
    skipped: tuple[datetime, ...]  # what the clock has not shown right before it


class Oracle:
    """What an expression means, written without `cronsim`: sets of numbers, and a walk over minutes or days."""

    def __init__(self, expression: str) -> None:
        minute, hour, day, month, weekday = expression.split()
        self.minutes, self.hours = _list_numbers(minute, 0, 59), _list_numbers(hour, 0, 23)
        self.days, self.months = _list_numbers(day, 1, 31), _list_numbers(month, 1, 12)
        self.weekdays = {number % 7 for number in _list_numbers(weekday, 0, 7)}
        self.needs_both = day[0] == "*" or weekday[0] == "*"
        self.has_star = minute[0] == "*" or hour[0] == "*"

    def fits_day(self, day: date) -> bool:
        """Whether the expression comes on this day."""
        fits = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        return day.month in self.months and (all(fits) if self.needs_both else any(fits))

    def fits(self, wall: datetime) -> bool:
        """Whether it comes at this minute of the wall clock."""
        return wall.minute in self.minutes and wall.hour in self.hours and self.fits_day(wall.date())

    def list_whole_day(self, day: date) -> list[datetime]:
        """List the wall times of a day without a change of the clock."""
        if not self.fits_day(day):
            return []
        midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a wall time
        return [
            midnight + timedelta(hours=hour, minutes=minute)
            for hour in sorted(self.hours)
            for minute in sorted(self.minutes)
        ]

    def list_minutes(self, minutes: Sequence[Minute]) -> list[datetime]:
        """List the minutes of real time at which it comes. A skipped one comes right after, a repeated one once.

        An expression with a star comes at each minute that fits, as Debian's cron runs it.
        """
        if self.has_star:
            return [minute.time for minute in minutes if self.fits(minute.wall)]
        return [
            minute.time
            for minute in minutes
            if (self.fits(minute.wall) and not minute.is_repeated) or any(map(self.fits, minute.skipped))
        ]


def _list_numbers(text: str, low: int, high: int) -> set[int]:
    numbers: set[int] = set()
    for part in text.split(","):
        values, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if values == "*" else values).partition("-")
        numbers |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return numbers


@cache
def _walk_day(zone: ZoneInfo, day: date) -> list[Minute]:
    """Walk over the minutes of a day."""
    following = day + DAY
    time = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    end = datetime(following.year, following.month, following.day, tzinfo=zone).astimezone(UTC)
    before = (time - MINUTE).astimezone(zone).replace(tzinfo=None)
    minutes = []
    while time < end:
        local = time.astimezone(zone)
        wall = local.replace(tzinfo=None)
        number = max(int((wall - before) / MINUTE), 1)
        skipped = tuple(before + each * MINUTE for each in range(1, number))
        minutes.append(Minute(time, wall, bool(local.fold), skipped))
        before, time = wall, time + MINUTE
    return minutes


@cache
def _list_days(zone: ZoneInfo) -> list[tuple[date, bool]]:
    """List the days of three years, each with whether the clock changes within a day of it."""
    days = [FIRST.date() + number * DAY for number in range((LAST - FIRST).days)]
    noons = [datetime(day.year, day.month, day.day, 12, tzinfo=UTC) for day in days]
    return [
        (day, len({(noon + hours * DAY / 24).astimezone(zone).utcoffset() for hours in range(-30, 31)}) > 1)
        for day, noon in zip(days, noons, strict=True)
    ]


def _list_expected(oracle: Oracle, zone: ZoneInfo) -> list[datetime]:
    """List the times of the years: by minutes near a change of the clock, by whole days elsewhere."""
    times: list[datetime] = []
    for day, is_near_change in _list_days(zone):
        if day.year >= FIRST.year + YEARS:
            break
        if is_near_change:
            times += oracle.list_minutes(_walk_day(zone, day))
        else:
            times += [wall.replace(tzinfo=zone).astimezone(UTC) for wall in oracle.list_whole_day(day)]
    return times


def _list_until(end: datetime, times: Iterator[datetime]) -> list[datetime]:
    return list(takewhile(lambda time: time < end, times))


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("name", ZONES)
def test_years_are_as_the_oracle_says(name: str, expression: str) -> None:
    """Each time of these years is there once, in order, across every change of the clock."""
    zone = ZoneInfo(name)
    expected = _list_expected(Oracle(expression), zone)
    first = datetime(FIRST.year, 1, 1, tzinfo=zone).astimezone(UTC)
    end = datetime(FIRST.year + YEARS, 1, 1, tzinfo=zone).astimezone(UTC)
    times = timing.parse_timing(expression, name).iterate_after(first - timedelta(seconds=1))
    assert _list_until(end, times) == expected
    assert len(expected) >= 6 * YEARS


@pytest.mark.parametrize("name", ZONES)
def test_nine_is_nine_on_the_wall(name: str) -> None:
    """`0 9 * * *` comes once on each day of three years, at nine on the wall."""
    zone = ZoneInfo(name)
    times = islice(timing.parse_timing("0 9 * * *", name).iterate_after(FIRST), 3 * 365)
    walls = [time.astimezone(zone).replace(tzinfo=None) for time in times]
    assert {(wall.hour, wall.minute, wall.second) for wall in walls} == {(9, 0, 0)}
    assert {later - earlier for earlier, later in pairwise(walls)} == {DAY}


@pytest.mark.parametrize("expression", ["30 2 * * *", "*/20 1-2 * * *", "0,30 1-3 * * *", "*/5 * * * *"])
@pytest.mark.parametrize("name", ["Europe/Berlin", "Australia/Lord_Howe", "America/Santiago"])
def test_the_next_time_is_the_same_from_wherever_one_looks(name: str, expression: str) -> None:
    """From each minute around a change of the clock, the next time is the next of the list, and never in the past."""
    zone, times = ZoneInfo(name), timing.parse_timing(expression, name)
    changes = [day for day, is_near_change in _list_days(zone) if is_near_change][:8]
    for day in changes:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC) - 5 * MINUTE
        listed = _list_until(start + 2 * DAY, times.iterate_after(start))
        for look in (start + number * 7 * MINUTE for number in range(150)):
            assert times.get_next(look) == next((time for time in listed if time > look), times.get_next(start + DAY))


def test_a_period_counts_from_1970() -> None:
    """`every 15m` comes at each quarter of an hour in UTC, whenever the schedule was saved, in whatever zone."""
    for text, seconds in (("every 15m", 900), ("every  2 hours", 7200), ("every 1d", 86400), ("every 1 min", 60)):
        times = list(islice(timing.parse_timing(text, "Asia/Kathmandu").iterate_after(FIRST + MINUTE / 2), 50))
        assert {time.timestamp() % seconds for time in times} == {0}
        assert {(later - earlier).total_seconds() for earlier, later in pairwise(times)} == {seconds}
        assert times[0] > FIRST


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 fields instead of five"),
        ("* * * *", "4 fields instead of five"),
        ("* * * * * *", "6 fields instead of five"),
        ("@daily", "1 fields instead of five"),
        ("60 * * * *", "bad minute"),
        ("* 24 * * *", "bad hour"),
        ("* * 0 * *", "bad day-of-month"),
        ("* * * 13 *", "bad month"),
        ("* * * * 8", "bad day-of-week"),
        ("*/0 * * * *", "bad minute"),
        ("5-1 * * * *", "bad minute"),
        ("a b c d e", "bad minute"),
        ("１ * * * *", "bad minute"),  # noqa: RUF001 - a digit of another script
        ("0 0 30 2 *", "bad day-of-month"),
        ("0 0 */31 * MON#2", "never comes"),
        ("every", "no period"),
        ("every 0m", "no period"),
        ("every 15", "no period"),
        ("every 90s", "no period"),
        ("every -5m", "no period"),
        ("every 400d", "no period"),
        ("every 99999h", "no period"),
        ("0 9 * * *" + " " * 10 + "x" * 200, "at most 128 characters"),
        ("0 9 * * \x00", "bad day-of-week"),
    ],
)
def test_what_is_no_timing_is_refused_in_one_sentence(text: str, reason: str) -> None:
    """Each mistake is named in one line, which also says what to write."""
    with pytest.raises(InvalidTimingError, match=reason) as caught:
        timing.parse_timing(text, "UTC")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("zone", "advice"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin?"),
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("America/New York", "did you mean America/New_York?"),
        ("", "use a name such as"),
        ("Mars/Base", "use a name such as|did you mean"),
        ("../../etc/passwd", "use a name such as"),
        ("/etc/localtime", "use a name such as|did you mean"),
        ("localtime", "use a name such as|did you mean"),
        ("right/UTC", "use a name such as|did you mean"),
        ("Europe", "use a name such as|did you mean"),
        ("UTC\x00", "use a name such as|did you mean"),
        ("x" * 10_000, "use a name such as"),
    ],
)
def test_what_is_no_zone_is_refused_with_the_nearest(zone: str, advice: str) -> None:
    """An unknown zone is refused, also one that is another on each host, with the nearest name."""
    with pytest.raises(UnknownZoneError, match=advice) as caught:
        timing.parse_timing("0 9 * * *", zone)
    assert len(str(caught.value)) < 200


def test_the_calendar_ends_without_an_error() -> None:
    """A list of times ends at the end of the calendar."""
    end = datetime(9999, 12, 30, tzinfo=UTC)
    for text in ("0 9 * * *", "every 1d", "*/30 * * * *"):
        assert len(list(islice(timing.parse_timing(text, "Europe/Berlin").iterate_after(end), 500))) < 100
