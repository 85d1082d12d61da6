"""The forwarder's waits: short while there is work, longer when idle, longest while the API does not reply."""

from itertools import pairwise

import pytest

from notifier.client.producer.forwarder import MAX_DELAY, MAX_IDLE, MAX_RETRY_AFTER, MIN_IDLE, Pace
from notifier.client.producer_row import generate_row_id


def _pace(chance: float = 1.0, longest: float = 30.0) -> Pace:
    return Pace(max_window=1000, max_pause=longest, chance=lambda: chance)


def test_an_idle_forwarder_looks_less_often_and_at_once_when_there_was_something() -> None:
    """An idle forwarder waits 50, 100, 200, 400 and then 500 ms, and 50 ms again after work."""
    pace = _pace()
    assert [pace.compute_idle_wait() for _ in range(6)] == pytest.approx([MIN_IDLE, 0.1, 0.2, 0.4, 0.5, MAX_IDLE])
    pace.record_success()
    assert pace.compute_idle_wait() == MIN_IDLE
    pace.reset_idle()
    assert pace.compute_idle_wait() == MIN_IDLE


def test_failures_in_a_row_make_pauses_that_double_up_to_the_longest() -> None:
    """Pauses double with each failure up to the maximum, for any number of failures."""
    pace = _pace()
    waits = [pace.record_failure() for _ in range(5000)]
    assert waits[:4] == [0.25, 0.5, 1.0, 2.0]
    assert waits[-1] == 30
    pace.record_success()
    assert pace.record_failure() == 0.25


@pytest.mark.parametrize("chance", [0.0, 0.999])
def test_it_never_comes_before_the_time_it_was_told(chance: float) -> None:
    """Retry-After is the minimum wait, but is limited itself."""
    pace = _pace(chance)
    assert 7 <= pace.record_failure(7.0) <= 7 * 1.25
    assert pace.record_failure(86_400) <= MAX_RETRY_AFTER * 1.25
    assert pace.record_failure(0.0) > 0


def test_after_a_failure_it_begins_with_one_row() -> None:
    """After a failure a request has one row; the number doubles with each reply, up to the maximum."""
    pace = _pace()
    assert pace.window == 1000
    pace.record_failure()
    sizes = []
    for _ in range(12):
        sizes.append(pace.window)
        pace.record_success()
    assert sizes == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000]


def test_a_row_that_spoils_its_requests_comes_less_and_less_often() -> None:
    """A row that breaks its requests is repeated after one second at first and ten minutes at last."""
    pace = _pace()
    assert [pace.compute_row_delay(tries).total_seconds() for tries in (1, 2, 3, 11, 4000)] == [
        1,
        2,
        4,
        *[MAX_DELAY] * 2,
    ]


def test_ids_are_of_version_7_and_sort_as_they_were_made() -> None:
    """Ids are UUIDs of version 7, so that claims follow their order and the index grows at its end."""
    ids = [generate_row_id() for _ in range(1000)]
    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    assert len(set(ids)) == 1000
    assert sum(later < earlier for earlier, later in pairwise(ids)) < 200
