"""The hours or days of a range of time in a time zone, as they are on the clock there."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from notifier.errors import NotifierError
from notifier.statistics.roll_up import Period

MAX_HOURS = 31 * 24
MAX_DAYS = 366
EARLIEST, LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""The limits of a search; arithmetic at the ends of the calendar overflows."""
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


class InvalidPeriodError(NotifierError):
    """The time or the zone of a search cannot be used; `name` says which of `from`, `to` and `zone`."""

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        super().__init__(message)


class PeriodLength(StrEnum):
    """How long a period of the statistics is."""

    HOUR = "hour"
    DAY = "day"


def parse_zone(name: str) -> ZoneInfo:
    """Parse the name of a time zone. Raises `InvalidPeriodError`."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        detail = f"there is no time zone {name[:64]!r}: use a name such as Europe/Berlin or UTC"
        raise InvalidPeriodError("zone", detail) from error


def choose_bounds(
    start: datetime | None, stop: datetime | None, by: PeriodLength, now: datetime
) -> tuple[datetime, datetime]:
    """Choose the bounds of a search: until now by default, and from a day or a week before."""
    stop = min(max(stop or now, EARLIEST), LATEST)  # so that the subtraction does not leave the calendar
    return start or stop - (_DAY if by is PeriodLength.HOUR else 7 * _DAY), stop


def list_periods(start: datetime, stop: datetime, by: PeriodLength, zone: ZoneInfo) -> list[Period]:
    """List the whole hours or days that have a part of the time from `start` until before `stop`, in order.

    Raises `InvalidPeriodError` if there are none or too many.
    """
    if not EARLIEST <= start < stop <= LATEST:
        raise InvalidPeriodError("from", "`from` must be before `to`, and both between 1990 and 2200")
    most, length = (MAX_HOURS, _HOUR) if by is PeriodLength.HOUR else (MAX_DAYS, _DAY)
    if stop - start > most * length:
        raise InvalidPeriodError("from", f"from `from` to `to` there are over {most} {by}s: ask for less, or by day")
    iterate = _iterate_hours if by is PeriodLength.HOUR else _iterate_days
    return list(iterate(start, stop, zone))


def build_day(day: date, zone: ZoneInfo) -> Period:
    """Build the period of a day, which has 23 or 25 hours when the clock changes."""
    return Period(start=_find_midnight(day, zone), stop=_find_midnight(day + _DAY, zone))


def _iterate_days(start: datetime, stop: datetime, zone: ZoneInfo) -> Iterator[Period]:
    day = start.astimezone(zone).date()
    while (period := build_day(day, zone)).start < stop:
        yield period
        day += _DAY


def _iterate_hours(start: datetime, stop: datetime, zone: ZoneInfo) -> Iterator[Period]:
    local = start.astimezone(zone)
    past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    hour = start.astimezone(UTC) - past  # an hour of the day that repeats is two periods
    while hour < stop:
        yield Period(start=hour, stop=hour + _HOUR)
        hour += _HOUR


def _find_midnight(day: date, zone: ZoneInfo) -> datetime:
    """Find the first moment of a day; where midnight is skipped, the first moment after it."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
