"""How fast a queue is emptied: only what left while others waited, and only while something could be sent."""

import pytest

from notifier.outbox.drain import ENOUGH_LEFT, ENOUGH_SECONDS, LATE_SECONDS, WINDOW, Drain

START = 1000.0


def busy(drain: Drain, seconds: int, *, rate: int, since: float = START) -> float:
    """So many leave in each second, and what is claimed after each has waited since the beginning; when it ends."""
    for passed in range(seconds):
        drain.left(rate, since + passed)
        drain.claimed_after(LATE_SECONDS + passed, since + passed)
    return since + seconds - 0.001


def test_at_first_nothing_is_known() -> None:
    """A fresh sender has no rate, and neither has one that has worked for too short a time."""
    drain = Drain()
    assert drain.per_second(START) is None
    assert drain.per_second(busy(drain, ENOUGH_SECONDS - 1, rate=50)) is None
    assert drain.per_second(busy(drain, 1, rate=50, since=START + ENOUGH_SECONDS - 1)) is not None


def test_what_leaves_while_others_wait_is_the_rate() -> None:
    """Fifty in each of a hundred seconds; the second that has just begun counts as far as it has come."""
    drain = Drain()
    end = busy(drain, 100, rate=50)
    assert drain.per_second(end) == pytest.approx(50, rel=0.01)
    drain.left(25, START + 100.5)
    drain.claimed_after(LATE_SECONDS, START + 100.5)
    assert drain.per_second(START + 100.5) == pytest.approx(50, rel=0.001)


def test_what_leaves_without_a_queue_says_nothing() -> None:
    """Two a second because no more come are not all that could leave."""
    drain = Drain()
    for second in range(100):
        drain.left(2, START + second)
        drain.claimed_after(LATE_SECONDS - 0.1, START + second)
    assert drain.per_second(START + 100) is None
    end = busy(drain, ENOUGH_SECONDS, rate=50, since=START + 101)
    # The first of them has waited since before the others came: five quiet seconds of two each are among those counted.
    assert drain.per_second(end) == pytest.approx((2 * 4 + 50 * 10) / 15, rel=0.01)


def test_seconds_without_a_relay_do_not_count() -> None:
    """An hour or a minute out of reach makes nobody slower; what waits meanwhile waits for the relay."""
    drain = Drain()
    busy(drain, 100, rate=50)
    drain.shut(START + 100, is_paused=True)
    drain.shut(START + 160, is_paused=False)
    drain.claimed_after(160, START + 160)
    end = busy(drain, 20, rate=50, since=START + 161)
    assert drain.per_second(end) == pytest.approx(50, rel=0.01)


def test_waiting_for_the_relay_alone_makes_no_rate() -> None:
    """While it is out of reach from the start, probes and simulated mails are no measure."""
    drain = Drain()
    drain.shut(START, is_paused=True)
    assert drain.per_second(busy(drain, 100, rate=5)) is None


def test_a_long_wait_marks_only_what_this_process_has_seen() -> None:
    """A sender that starts before a queue of hours has not been slow for hours."""
    drain = Drain()
    assert drain.per_second(START - 3600) is None  # who asks before is no sender
    drain.left(0, START)
    for second in range(20):
        drain.left(50, START + second)
        drain.claimed_after(7200, START + second)
    assert drain.per_second(START + 19.999) == pytest.approx(50, rel=0.01)


def test_few_and_slow_ones_are_a_rate_too() -> None:
    """One mail in ten seconds, each claimed when the one before is done."""
    drain = Drain()
    drain.left(0, START)
    for mail in range(1, ENOUGH_LEFT + 1):
        assert drain.per_second(START + 10 * mail) is None
        drain.left(1, START + 10 * mail)
        drain.claimed_after(10 * mail, START + 10 * mail)
    assert drain.per_second(START + 10 * ENOUGH_LEFT) == pytest.approx(0.1, rel=0.02)


def test_only_the_last_five_minutes_count() -> None:
    """A relay that became slower is believed in the end, and what is older is forgotten."""
    drain = Drain()
    busy(drain, WINDOW, rate=100)
    assert drain.per_second(busy(drain, WINDOW, rate=10, since=START + WINDOW)) == pytest.approx(10, rel=0.01)
    assert drain.per_second(START + 3 * WINDOW) is None
    assert drain.per_second(START + 3_000_000) is None


def test_another_life_begins_with_nothing() -> None:
    """After `forget` neither the counts nor a relay that was away are known."""
    drain = Drain()
    end = busy(drain, 100, rate=50)
    drain.shut(end, is_paused=True)
    drain.forget()
    assert drain.per_second(end) is None
    assert drain.per_second(busy(drain, 100, rate=50, since=end + 1)) == pytest.approx(50, rel=0.02)
