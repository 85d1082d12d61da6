"""Which of the times that nobody ran at get a run."""

from datetime import UTC, datetime, timedelta

import pytest

from notifier.job_states import CatchUp
from notifier.jobs import timing
from notifier.jobs.timing import MAX_CATCH_UP_RUNS, MAX_COUNTED_TIMES

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
DAILY = timing.parse_timing("0 9 * * *", "UTC")


@pytest.mark.parametrize("catch_up", list(CatchUp))
def test_a_time_that_is_looked_at_in_time_gets_its_run(catch_up: CatchUp) -> None:
    """Whatever the rule, a time that is at most a minute old gets its run, and the next one is tomorrow's."""
    for late in (timedelta(0), timedelta(seconds=1), timedelta(minutes=1)):
        due = timing.find_due_times(DAILY, NINE, NINE + late, catch_up)
        assert (list(due.planned), due.next_at) == ([NINE], NINE + DAY)


@pytest.mark.parametrize(("catch_up", "days"), [(CatchUp.ONE, [3]), (CatchUp.ALL, [0, 1, 2, 3]), (CatchUp.NONE, [])])
def test_four_missed_days(catch_up: CatchUp, days: list[int]) -> None:
    """After four missed times `one` runs the last, `all` each in order, `none` none; the next one is tomorrow's."""
    due = timing.find_due_times(DAILY, NINE, NINE + 3 * DAY + timedelta(hours=2), catch_up)
    assert list(due.planned) == [NINE + number * DAY for number in days]
    assert due.next_at == NINE + 4 * DAY


@pytest.mark.parametrize(
    ("catch_up", "skipped", "last"), [(CatchUp.ONE, 3, 2), (CatchUp.ALL, 0, None), (CatchUp.NONE, 4, 3)]
)
def test_missed_days_without_a_run_are_counted(catch_up: CatchUp, skipped: int, last: int | None) -> None:
    """Of four missed times, those that get no run are counted, and the last of them is named."""
    due = timing.find_due_times(DAILY, NINE, NINE + 3 * DAY + timedelta(hours=2), catch_up)
    assert (due.skipped, due.last_skipped_at) == (skipped, None if last is None else NINE + last * DAY)


@pytest.mark.parametrize("text", ["* * * * *", "0 9 * * *", "every 1d"])
@pytest.mark.parametrize("catch_up", [CatchUp.ONE, CatchUp.NONE])
def test_very_many_missed_times_are_counted_up_to_a_limit(text: str, catch_up: CatchUp) -> None:
    """After years, the count ends at its limit, and the last time without a run is still found."""
    times = timing.parse_timing(text, "UTC")
    now = NINE + 3000 * DAY + timedelta(minutes=5)
    due = timing.find_due_times(times, NINE, now, catch_up)
    (after_last,) = [*due.planned, due.next_at][:1]
    assert (due.skipped, due.last_skipped_at is not None) == (MAX_COUNTED_TIMES, True)
    assert due.last_skipped_at is not None
    assert times.get_next(due.last_skipped_at) == after_last


def test_none_still_runs_at_the_time_itself() -> None:
    """With `none`, missed times are left out, and the one that is due now runs."""
    due = timing.find_due_times(DAILY, NINE, NINE + 3 * DAY + timedelta(seconds=5), CatchUp.NONE)
    assert (list(due.planned), due.next_at) == ([NINE + 3 * DAY], NINE + 4 * DAY)


@pytest.mark.parametrize("days", [1, 30, 3000])
def test_one_finds_the_last_of_many(days: int) -> None:
    """The last missed time is found, however long nobody ran: of `* * * * *`, and of a yearly one."""
    now = NINE + days * DAY + timedelta(seconds=30)
    each_minute = timing.parse_timing("* * * * *", "UTC")
    assert timing.find_due_times(each_minute, NINE, now, CatchUp.ONE).planned == [now - timedelta(seconds=30)]
    yearly = timing.parse_timing("0 9 2 3 *", "UTC")
    due = timing.find_due_times(yearly, NINE, now, CatchUp.ONE)
    assert due.planned == [NINE.replace(year=now.year)]
    assert due.next_at == NINE.replace(year=now.year + 1)


def test_all_goes_on_at_the_next_look() -> None:
    """`all` begins a bounded number of runs at one look, and the next look goes on where it was."""
    quarter = timing.parse_timing("every 15m", "UTC")
    now = NINE + DAY
    next_at, planned = NINE, list[datetime]()
    while next_at <= now:
        due = timing.find_due_times(quarter, next_at, now, CatchUp.ALL)
        assert 0 < len(due.planned) <= MAX_CATCH_UP_RUNS
        planned += due.planned
        assert due.next_at is not None
        next_at = due.next_at
    assert planned == [NINE + number * timedelta(minutes=15) for number in range(97)]


def test_all_of_a_rare_time_is_quick() -> None:
    """`all` looks no further than now, also for the 29 February, of which there are few until the year 9999."""
    leap = timing.parse_timing("0 0 29 2 *", "Europe/Berlin")
    next_at = leap.get_next(NINE)
    assert next_at is not None
    due = timing.find_due_times(leap, next_at, next_at + timedelta(seconds=3), CatchUp.ALL)
    assert (list(due.planned), due.next_at) == ([next_at], leap.get_next(next_at))
