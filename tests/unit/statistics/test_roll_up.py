"""When a range is counted again, and what a purge leaves."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from notifier.ids import get_first_id
from notifier.states import Status
from notifier.statistics import roll_up
from notifier.statistics.counts import CountKey, merge_counts

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SHOP, OTHER, TEMPLATE = UUID(int=1), UUID(int=2), UUID(int=3)


def _key(service: UUID, status: Status = Status.SENT) -> CountKey:
    return CountKey(quarter=1, service_id=service, template_id=TEMPLATE, status=status, reason="", bucket=-1)


def _wait(age: timedelta) -> timedelta:
    return roll_up.compute_due_time(get_first_id(NOW - age), NOW) - NOW


def test_the_wait_grows_with_the_age() -> None:
    """Young ranges are counted each minute, older ones after a quarter of their age, at most a day, and then never."""
    assert roll_up.compute_due_time(None, NOW) - NOW == roll_up.MIN_WAIT
    assert _wait(timedelta(seconds=-600)) == roll_up.MIN_WAIT
    assert _wait(timedelta(minutes=1)) == roll_up.MIN_WAIT
    assert _wait(timedelta(hours=8)) == timedelta(hours=2)
    assert _wait(timedelta(days=30)) == timedelta(days=1)
    assert _wait(timedelta(days=96)) > timedelta(days=365_000)


def test_a_purge_takes_nothing_from_the_counts() -> None:
    """Where notifications were deleted the counts stay; those of other services are replaced."""
    stored = {_key(SHOP): 5, _key(OTHER): 2}
    counted = {_key(SHOP): 3, _key(OTHER, Status.BOUNCED): 2}
    assert merge_counts(stored, counted) == {_key(SHOP): 5, _key(OTHER, Status.BOUNCED): 2}
    assert merge_counts(stored, {}) == stored


def test_late_rows_replace_the_counts() -> None:
    """More notifications than before, or as many with another status, are what is stored then."""
    counted = {_key(SHOP): 4, _key(SHOP, Status.BOUNCED): 2}
    assert merge_counts({_key(SHOP): 5}, counted) == counted
