"""When a schedule is due: five cron fields or `every 15m`, in an IANA time zone, and which missed times get a run.

Cron runs as Debian's cron does: a time that the change to summer time skips comes at the first minute after it, and one
that the change back repeats comes once. If minute or hour begins with `*`, each minute whose wall time fits counts.
`every` counts from midnight UTC of 1 January 1970, whatever the zone.
"""

import difflib
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from notifier.errors import NotifierError
from notifier.job_states import CatchUp

MAX_TIMING_LENGTH = 128
MAX_CATCH_UP_RUNS = 20
"""Runs that one look at a schedule begins, with `all`, because they are one transaction; the next look goes on."""
MAX_COUNTED_TIMES = 100
"""Missed times that one look at a schedule counts; more are as many."""
MISSED_AFTER = timedelta(minutes=1)
"""A time that is older when a sender looks counts as missed."""
_CRON_FIELDS = 5
_EVERY = re.compile(r"every ([1-9][0-9]{0,4}) ?(m|min|minutes?|h|hours?|d|days?)")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
MAX_PERIOD = timedelta(days=366)
_FORM = "use five cron fields, such as `0 9 * * 1-5`, or `every 15m`, `every 2h`, `every 1d`"


class InvalidTimingError(NotifierError):
    """This is neither a cron expression nor a period."""


class UnknownZoneError(NotifierError):
    """There is no such time zone."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The times of a schedule."""

    text: str
    zone: ZoneInfo

    def iterate_after(self, time: datetime) -> Iterator[datetime]:
        """Yield the times after `time` in UTC, in order; it ends if there are no more within 50 years."""
        period = _parse_period(self.text)
        times = self._iterate_cron(time) if period is None else _iterate_period(period, time)
        try:
            yield from times
        except OverflowError:  # the end of the calendar
            return

    def get_next(self, time: datetime) -> datetime | None:
        """Get the first time after `time`; None if there is none."""
        return next(self.iterate_after(time), None)

    def _iterate_cron(self, time: datetime) -> Iterator[datetime]:
        """Yield the times of a cron timing.

        `cronsim` counts wall times only: with a zone it loses hours where the clock changes by half an hour.
        """
        start, last, is_fixed = self._get_start(time), time, _FIXED.match(self.text) is not None
        repeated: deque[datetime] = deque()  # when the clock shows the same wall times again
        for candidate in CronSim(self.text, start):
            wall = candidate
            while is_skipped := self._is_skipped(wall):
                if not is_fixed:
                    break
                wall += _MINUTE
            if is_skipped:
                continue
            at = wall.replace(tzinfo=self.zone).astimezone(UTC)
            while repeated and repeated[0] < at:
                last = repeated.popleft()
                yield last
            if at > last:
                last = at
                yield at
            again = wall.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
            if not is_fixed and again > max(at, time):
                repeated.append(again)
        yield from repeated

    def _get_start(self, time: datetime) -> datetime:
        """Get the wall time after which to look: earlier if the clock is put back near `time`, and shows it twice."""
        local, *near = (each.astimezone(self.zone) for each in (time, time - _CHANGE, time + _CHANGE))
        before, after = (each.utcoffset() or _ZERO for each in near)
        return local.replace(tzinfo=None) - max(before - after, _ZERO)

    def _is_skipped(self, wall: datetime) -> bool:
        """Whether the clock never shows this wall time, because it is put forward."""
        at = wall.replace(tzinfo=self.zone).astimezone(UTC)
        return at.astimezone(self.zone).replace(tzinfo=None) != wall


@dataclass(frozen=True, kw_only=True)
class DueTimes:
    """What is due of a schedule at one look."""

    planned: Sequence[datetime]  # the times that get a run, in order
    next_at: datetime | None  # when to look again
    skipped: int = 0  # missed times that get no run, at most `MAX_COUNTED_TIMES`
    last_skipped_at: datetime | None = None  # the last one of them


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE, _ZERO = timedelta(minutes=1), timedelta(0)
_CHANGE = timedelta(hours=26)
"""More than any change of a clock."""
_FIXED = re.compile(r"[^* ][^ ]* [^*]")
"""Minute and hour are given."""
_LOOK_BACK = (timedelta(days=2), timedelta(days=60))


def parse_timing(text: str, zone: str) -> Timing:
    """Parse a timing. Raises `InvalidTimingError`, `UnknownZoneError`."""
    words = " ".join(text.split())
    if len(words) > MAX_TIMING_LENGTH:
        raise InvalidTimingError(f"at most {MAX_TIMING_LENGTH} characters")
    timing = Timing(text=words, zone=_load_zone(zone))
    if words.startswith("every"):
        period = _parse_period(words)
        if period is None or period > MAX_PERIOD:
            raise InvalidTimingError(f"`{words[:64]}` is no period of a minute to a year: {_FORM}")
        return timing
    if len(words.split()) != _CRON_FIELDS:
        raise InvalidTimingError(f"{len(words.split())} fields instead of five: {_FORM}")
    try:
        CronSim(words, _EPOCH)
    except (CronSimError, ValueError) as error:
        raise InvalidTimingError(f"{str(error).lower()} in `{words[:64]}`: {_FORM}") from error
    if timing.get_next(_EPOCH) is None:
        raise InvalidTimingError(f"`{words[:64]}` never comes")
    return timing


def find_due_times(timing: Timing, next_at: datetime, now: datetime, catch_up: CatchUp) -> DueTimes:
    """Find which times from `next_at` until `now` get a run, by the rule of the schedule, and when the next one is.

    A time counts as missed if it is over a minute old. `one` runs the last of the missed ones, `none` none of them.
    """
    if catch_up is CatchUp.ALL:
        planned = [next_at, *islice(_iterate_until(now, timing, next_at), MAX_CATCH_UP_RUNS - 1)]
        return DueTimes(planned=planned, next_at=timing.get_next(planned[-1]))
    first = [next_at, *islice(_iterate_until(now, timing, next_at), MAX_COUNTED_TIMES)]
    times = first if len(first) <= MAX_COUNTED_TIMES else _list_last(timing, next_at, now)
    is_wanted = catch_up is CatchUp.ONE or now - times[-1] <= MISSED_AFTER
    skipped = times[:-1] if is_wanted else times
    return DueTimes(
        planned=times[-1:] if is_wanted else [],
        next_at=timing.get_next(times[-1]),
        skipped=min(len(first) - is_wanted, MAX_COUNTED_TIMES),
        last_skipped_at=skipped[-1] if skipped else None,
    )


def _list_last(timing: Timing, next_at: datetime, now: datetime) -> list[datetime]:
    """List the last times until `now`, two or more, for a long pause: so it looks back further and further."""
    for window in _LOOK_BACK:
        if now - next_at <= window:
            break
        recent = list(_iterate_until(now, timing, now - window))
        if len(recent) > 1:
            return recent
    return list(_iterate_until(now, timing, next_at))


def _iterate_until(now: datetime, timing: Timing, start: datetime) -> Iterator[datetime]:
    return takewhile(lambda time: time <= now, timing.iterate_after(start))


@cache
def _list_zones() -> frozenset[str]:
    """List the zones that every host knows: not `localtime`, which is another one on each, nor `right/…`."""
    return frozenset((resources.files("tzdata") / "zones").read_text().split())


def _load_zone(name: str) -> ZoneInfo:
    if name in _list_zones():
        return ZoneInfo(name)
    by_lower = {zone.lower(): zone for zone in sorted(_list_zones())}
    nearest = difflib.get_close_matches(name[:64].lower().replace(" ", "_"), by_lower, 1)
    advice = f"did you mean {by_lower[nearest[0]]}?" if nearest else "use a name such as Europe/Berlin or UTC"
    raise UnknownZoneError(f"there is no time zone {name[:64]!r}: {advice}")


def _iterate_period(period: timedelta, time: datetime) -> Iterator[datetime]:
    number = (time - _EPOCH) // period + 1
    while True:
        yield _EPOCH + number * period
        number += 1


def _parse_period(text: str) -> timedelta | None:
    match = _EVERY.fullmatch(text)
    return int(match[1]) * _UNITS[match[2][0]] if match is not None else None
