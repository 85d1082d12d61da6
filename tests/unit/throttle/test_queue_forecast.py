"""How long a mail waits for those before it: services by turns, priorities in order, each with its reserve."""

import pytest

from notifier.ids import generate_id
from notifier.outbox.claimer import MIN_PRIORITY_SHARE
from notifier.states import Priority
from notifier.throttle.queue_forecast import MAX_RETRY_AFTER_SECONDS, QueueTooLongError, estimate_waits

ONE, OTHER, THIRD = generate_id(), generate_id(), generate_id()


def test_a_service_alone_waits_for_its_own_mails() -> None:
    """A thousand before it at ten a second are a hundred seconds."""
    assert estimate_waits({(Priority.NORMAL, ONE): 1000}, 10.0) == {(Priority.NORMAL, ONE): 100.0}
    assert estimate_waits({}, 10.0) == {}


def test_a_long_queue_of_another_service_does_not_count() -> None:
    """Services share by turns: of the million only as many go first as the small one has itself."""
    small, middle, large = ((Priority.BULK, service) for service in (ONE, OTHER, THIRD))
    estimates = estimate_waits({large: 1_000_000, small: 10, middle: 100}, 1.0)
    assert (estimates[small], estimates[middle], estimates[large]) == (30.0, 10 + 100 + 100, 10 + 100 + 1_000_000)


def test_higher_priorities_go_first() -> None:
    """High waits for no bulk; bulk waits for normal and high of all services."""
    estimates = estimate_waits({(Priority.HIGH, ONE): 30, (Priority.NORMAL, OTHER): 20, (Priority.BULK, ONE): 10}, 1.0)
    assert estimates[Priority.HIGH, ONE] == 30.0
    assert estimates[Priority.NORMAL, OTHER] == 50.0
    assert estimates[Priority.BULK, ONE] == 60.0


def test_each_priority_has_its_reserve() -> None:
    """A million high mails leave the others every twentieth place."""
    estimates = estimate_waits({(Priority.HIGH, ONE): 1_000_000, (Priority.BULK, OTHER): 10}, 1.0)
    assert estimates[Priority.BULK, OTHER] == pytest.approx(10 / MIN_PRIORITY_SHARE)


@pytest.mark.parametrize(
    ("wait", "left", "after"), [(130.2, 100.0, 31), (100.1, 100.0, 1), (1e6, 1.0, MAX_RETRY_AFTER_SECONDS)]
)
def test_retry_after_is_the_excess_wait(wait: float, left: float, after: int) -> None:
    """It is the time in which the excess will have left, and five minutes at most."""
    assert QueueTooLongError(wait, left).retry_after == after
