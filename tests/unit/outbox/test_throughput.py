"""The throughput estimate: only departures from a queue count, and only while mail could be sent."""

import pytest

from notifier.outbox.heartbeat import (
    MIN_DEPARTURES,
    MIN_MEASURED_SECONDS,
    MIN_QUEUED_SECONDS,
    WINDOW_SECONDS,
    ThroughputEstimate,
)

START = 1000.0


def busy(drain: ThroughputEstimate, seconds: int, *, rate: int, since: float = START) -> float:
    """So many leave in each second, and what is claimed after each has waited since the beginning; when it ends."""
    for passed in range(seconds):
        drain.record_departures(rate, since + passed)
        drain.record_waiting_time(MIN_QUEUED_SECONDS + passed, since + passed)
    return since + seconds - 0.001


def test_a_new_sender_has_no_rate() -> None:
    """A new sender has no rate, and neither has one that has worked for too short a time."""
    drain = ThroughputEstimate()
    assert drain.get_rate(START) is None
    assert drain.get_rate(busy(drain, MIN_MEASURED_SECONDS - 1, rate=50)) is None
    assert drain.get_rate(busy(drain, 1, rate=50, since=START + MIN_MEASURED_SECONDS - 1)) is not None


def test_departures_with_a_queue_make_the_rate() -> None:
    """Fifty in each of a hundred seconds; the unfinished second counts in part."""
    drain = ThroughputEstimate()
    end = busy(drain, 100, rate=50)
    assert drain.get_rate(end) == pytest.approx(50, rel=0.01)
    drain.record_departures(25, START + 100.5)
    drain.record_waiting_time(MIN_QUEUED_SECONDS, START + 100.5)
    assert drain.get_rate(START + 100.5) == pytest.approx(50, rel=0.001)


def test_departures_without_a_queue_do_not_count() -> None:
    """Two a second because no more arrive are not all that could leave."""
    drain = ThroughputEstimate()
    for second in range(100):
        drain.record_departures(2, START + second)
        drain.record_waiting_time(MIN_QUEUED_SECONDS - 0.1, START + second)
    assert drain.get_rate(START + 100) is None
    end = busy(drain, MIN_MEASURED_SECONDS, rate=50, since=START + 101)
    # The first of them has waited since before the others came: five quiet seconds of two each are among those counted.
    assert drain.get_rate(end) == pytest.approx((2 * 4 + 50 * 10) / 15, rel=0.01)


def test_seconds_without_a_relay_do_not_count() -> None:
    """An outage of the relay, an hour or a minute, does not lower the rate."""
    drain = ThroughputEstimate()
    busy(drain, 100, rate=50)
    drain.set_paused(START + 100, is_paused=True)
    drain.set_paused(START + 160, is_paused=False)
    drain.record_waiting_time(160, START + 160)
    end = busy(drain, 20, rate=50, since=START + 161)
    assert drain.get_rate(end) == pytest.approx(50, rel=0.01)


def test_no_rate_while_the_relay_is_away() -> None:
    """While it is out of reach from the start, probes and simulated mails are no measure."""
    drain = ThroughputEstimate()
    drain.set_paused(START, is_paused=True)
    assert drain.get_rate(busy(drain, 100, rate=5)) is None


def test_a_long_wait_marks_only_what_this_process_has_seen() -> None:
    """A sender that starts before a queue of hours has not been slow for hours."""
    drain = ThroughputEstimate()
    assert drain.get_rate(START - 3600) is None  # who asks before is no sender
    drain.record_departures(0, START)
    for second in range(20):
        drain.record_departures(50, START + second)
        drain.record_waiting_time(7200, START + second)
    assert drain.get_rate(START + 19.999) == pytest.approx(50, rel=0.01)


def test_few_slow_mails_make_a_rate() -> None:
    """One mail in ten seconds, each claimed when the one before is done."""
    drain = ThroughputEstimate()
    drain.record_departures(0, START)
    for mail in range(1, MIN_DEPARTURES + 1):
        assert drain.get_rate(START + 10 * mail) is None
        drain.record_departures(1, START + 10 * mail)
        drain.record_waiting_time(10 * mail, START + 10 * mail)
    assert drain.get_rate(START + 10 * MIN_DEPARTURES) == pytest.approx(0.1, rel=0.02)


def test_only_the_last_five_minutes_count() -> None:
    """A relay that became slower lowers the rate, and older seconds are forgotten."""
    drain = ThroughputEstimate()
    busy(drain, WINDOW_SECONDS, rate=100)
    assert drain.get_rate(busy(drain, WINDOW_SECONDS, rate=10, since=START + WINDOW_SECONDS)) == pytest.approx(
        10, rel=0.01
    )
    assert drain.get_rate(START + 3 * WINDOW_SECONDS) is None
    assert drain.get_rate(START + 3_000_000) is None


def test_a_reset_forgets_everything() -> None:
    """After a reset neither the counts nor the outage are known."""
    drain = ThroughputEstimate()
    end = busy(drain, 100, rate=50)
    drain.set_paused(end, is_paused=True)
    drain.reset()
    assert drain.get_rate(end) is None
    assert drain.get_rate(busy(drain, 100, rate=50, since=end + 1)) == pytest.approx(50, rel=0.02)
