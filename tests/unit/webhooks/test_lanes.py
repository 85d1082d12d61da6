"""How many concurrent tries one endpoint may have."""

from datetime import timedelta

from support.manual_clock import ManualClock

from notifier.ids import generate_id
from notifier.webhooks.endpoint_client import EndpointConcurrency


def test_an_endpoint_takes_half_of_the_slots_at_most() -> None:
    """An endpoint gets at most half of the slots; further deliveries are deferred, each later than the one before."""
    slots, endpoint, other = EndpointConcurrency(4, ManualClock()), generate_id(), generate_id()
    assert [slots.enter(endpoint) for _ in range(2)] == [None, None]
    waits = [slots.enter(endpoint) for _ in range(3)]
    assert all(wait is not None and wait > timedelta(0) for wait in waits)
    assert waits == sorted(waits, key=lambda wait: wait or timedelta(0))
    assert len(set(waits)) == 3
    assert slots.enter(other) is None


def test_one_that_fails_has_a_tenth() -> None:
    """A failing endpoint gets a tenth of the slots until a try succeeds."""
    slots, endpoint = EndpointConcurrency(20, ManualClock()), generate_id()
    assert slots.enter(endpoint) is None
    slots.leave(endpoint, seconds=15.0, is_healthy=False)
    assert [slots.enter(endpoint) is None for _ in range(4)] == [True, True, False, False]
    slots.leave(endpoint, seconds=0.1, is_healthy=True)
    assert slots.enter(endpoint) is None


def test_nobody_waits_for_ever() -> None:
    """A delivery to an endpoint that hangs is deferred by ten minutes at most."""
    slots, endpoint = EndpointConcurrency(2, ManualClock()), generate_id()
    slots.enter(endpoint)
    slots.leave(endpoint, seconds=15.0, is_healthy=False)
    slots.enter(endpoint)
    waits = [slots.enter(endpoint) for _ in range(1000)]
    assert max(wait or timedelta(0) for wait in waits) == timedelta(minutes=10)
