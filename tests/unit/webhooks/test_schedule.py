"""When a webhook is tried again."""

from datetime import UTC, datetime, timedelta

import pytest

from notifier.webhooks.retry_schedule import MAX_RETRY_AFTER, MAX_TRIES, compute_retry_wait, retry_after

ABSURD = (
    "Fri, 31 Dec 9999 23:59:59 -2400",
    "Fri, 31 Dec 9999 23:59:59 -99999999999999999999",
    "Tue, 24 Nov 99999999999999999999 12:01:00 GMT",
    "Tue, 24 Nov 2026 999999999999:01:00 GMT",
    "Tue, 24 Nov 2026 12:999999999999:00 GMT",
    "-" + "9" * 400,
    "1e400",
    "x" * 10_240,
    "Tue, " * 2_000,
    "Tue, 24 Nov 2026 12:01:00 +" + "9" * 10_000,
    "\x00",
)
"""What `email.utils` cannot make a date of, and what it raises for."""
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_ten_tries_in_about_three_days() -> None:
    """Without luck the tenth try comes three days after the first, and is the last."""
    waits = [compute_retry_wait(tries, spread=0.5) for tries in range(1, MAX_TRIES)]
    assert MAX_TRIES == 10
    assert waits[0] == timedelta(seconds=5)
    assert timedelta(days=3) < sum((wait or timedelta(0) for wait in waits), timedelta(0)) < timedelta(days=3.5)
    assert compute_retry_wait(MAX_TRIES, spread=0.5) is None


@pytest.mark.parametrize(("spread", "seconds"), [(0.0, 4.0), (1.0, 6.0)])
def test_a_crowd_is_spread(spread: float, seconds: float) -> None:
    """Twenty per cent to either side."""
    assert compute_retry_wait(1, spread=spread) == timedelta(seconds=seconds)


def test_a_receiver_may_ask_for_more_time_but_not_for_all_of_it() -> None:
    """Never sooner than our own schedule, and never later than in a day."""
    assert compute_retry_wait(1, spread=0.5, asked=timedelta(seconds=90)) == timedelta(seconds=90)
    assert compute_retry_wait(3, spread=0.5, asked=timedelta(seconds=90)) == timedelta(minutes=30)
    assert compute_retry_wait(1, spread=0.5, asked=timedelta(days=400)) == MAX_RETRY_AFTER


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("99999999999999999999", 86400),
        ("Tue, 24 Nov 2026 12:01:00 GMT", 60),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("١٢", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Seconds or a date; nonsense asks for nothing."""
    asked = retry_after(value, NOW)
    assert asked == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize("value", ABSURD)
def test_an_absurd_wish_is_no_wish(value: str) -> None:
    """It asks for nothing, and raises nothing."""
    assert retry_after(value, NOW) is None


@pytest.mark.parametrize("value", ["Fri, 31 Dec 9999 23:59:59 -2359", "9" * 10_240])
def test_a_wish_for_another_century_is_one_for_a_day(value: str) -> None:
    """The longest wait there is."""
    assert retry_after(value, NOW) == MAX_RETRY_AFTER
