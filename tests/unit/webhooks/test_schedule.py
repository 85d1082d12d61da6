"""When a webhook is retried."""

from datetime import timedelta

import pytest

from notifier.backoff import MAX_RETRY_AFTER
from notifier.webhooks.webhook_handler import MAX_TRIES, compute_webhook_wait


def test_ten_tries_in_about_three_days() -> None:
    """Without jitter the tenth and last try comes three days after the first."""
    waits = [compute_webhook_wait(tries, spread=0.5) for tries in range(1, MAX_TRIES)]
    assert MAX_TRIES == 10
    assert waits[0] == timedelta(seconds=5)
    assert timedelta(days=3) < sum((wait or timedelta(0) for wait in waits), timedelta(0)) < timedelta(days=3.5)
    assert compute_webhook_wait(MAX_TRIES, spread=0.5) is None


@pytest.mark.parametrize(("spread", "seconds"), [(0.0, 4.0), (1.0, 6.0)])
def test_a_crowd_is_spread(spread: float, seconds: float) -> None:
    """Jitter is twenty per cent to either side."""
    assert compute_webhook_wait(1, spread=spread) == timedelta(seconds=seconds)


def test_a_receiver_may_ask_for_more_time_but_not_for_all_of_it() -> None:
    """Retry-After never shortens our own schedule, and delays a try by at most a day."""
    assert compute_webhook_wait(1, spread=0.5, retry_after=timedelta(seconds=90)) == timedelta(seconds=90)
    assert compute_webhook_wait(3, spread=0.5, retry_after=timedelta(seconds=90)) == timedelta(minutes=30)
    assert compute_webhook_wait(1, spread=0.5, retry_after=timedelta(days=400)) == MAX_RETRY_AFTER
