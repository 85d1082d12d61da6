"""The schedule of retries."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier import backoff

MINUTES = [1, 5, 15, 30, 60, 120, 240, 240, 240]


def test_the_schedule() -> None:
    """1 m, 5 m, 15 m, 30 m, 1 h, 2 h, then 4 h for ever."""
    found = [backoff.get_retry_delay(attempt, spread=0.5) for attempt in range(1, 10)]
    assert found == [timedelta(minutes=minutes) for minutes in MINUTES]
    assert backoff.get_retry_delay(1000, spread=0.5) == timedelta(hours=4)


@pytest.mark.parametrize(("attempt", "minutes"), list(enumerate(MINUTES, start=1)))
def test_the_spread_is_a_fifth_to_either_side(attempt: int, minutes: int) -> None:
    """The ends of the spread are 80 % and 120 % of the wait."""
    assert backoff.get_retry_delay(attempt, spread=0.0) == timedelta(minutes=minutes * 0.8)
    assert backoff.get_retry_delay(attempt, spread=1.0) == timedelta(minutes=minutes * 1.2)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 50), st.floats(0, 1))
def test_every_wait_is_within_the_spread(attempt: int, spread: float) -> None:
    """Wherever in the spread a wait falls, it is near its place in the schedule."""
    middle = MINUTES[min(attempt, len(MINUTES)) - 1] * 60
    assert middle * 0.8 - 1e-6 <= backoff.get_retry_delay(attempt, spread=spread).total_seconds() <= middle * 1.2 + 1e-6


@pytest.mark.parametrize(
    ("left", "longest", "wait"),
    [(480, 15, 15), (480, 900, 120), (60, 15, 15), (40, 15, 10), (0, 15, 0), (-5, 15, 0), (60, 0, 0)],
)
def test_an_uncertain_mail_waits_for_a_quarter_of_its_time(left: int, longest: int, wait: int) -> None:
    """A resend comes after a quarter of the time left, never later than the setting, never in the past."""
    found = backoff.get_resend_delay(timedelta(minutes=left), max_delay=timedelta(minutes=longest))
    assert found == timedelta(minutes=wait)
