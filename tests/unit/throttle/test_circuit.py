"""The circuit, with a clock that the test moves."""

from datetime import UTC, datetime, timedelta

import pytest

from notifier.clock import Clock
from notifier.throttle.circuit_breaker import Circuit


class HandClock(Clock):
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self._seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    def turn(self, seconds: float) -> None:
        """Go on by that much."""
        self._seconds += seconds


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def circuit(clock: HandClock) -> Circuit:
    return Circuit(clock)


def fail(circuit: Circuit, *, needs_person: bool = False, reason: str = "refused") -> float:
    """A failure; the wait that follows it."""
    circuit.open(reason, needs_person=needs_person)
    return circuit.seconds_to_probe()


def test_a_new_circuit_is_closed(circuit: Circuit) -> None:
    """Nothing is known to be wrong, so mail may go."""
    assert (circuit.is_open, circuit.probe_is_due, circuit.seconds_to_probe(), circuit.reason) == (
        False,
        True,
        0.0,
        None,
    )


def test_a_failure_opens_it_for_a_second(circuit: Circuit, clock: HandClock) -> None:
    """It tells why, and lets a probe through when the second is over, not before."""
    assert fail(circuit) == 1.0
    assert (circuit.is_open, circuit.probe_is_due, circuit.reason) == (True, False, "refused")
    clock.turn(0.999)
    assert not circuit.probe_is_due
    clock.turn(0.001)
    assert (circuit.is_open, circuit.probe_is_due, circuit.seconds_to_probe()) == (True, True, 0.0)


def test_each_failed_probe_doubles_the_wait_up_to_a_minute(circuit: Circuit, clock: HandClock) -> None:
    """1, 2, 4 … 60 seconds, and never more."""
    waits = []
    for _ in range(9):
        waits.append(fail(circuit))
        clock.turn(waits[-1])
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_failures_during_the_wait_change_nothing(circuit: Circuit, clock: HandClock) -> None:
    """Twenty sessions that fail at the same moment count as one failure."""
    fail(circuit)
    clock.turn(0.5)
    assert fail(circuit, reason="another", needs_person=True) == 0.5
    assert circuit.reason == "refused"
    clock.turn(0.5)
    assert fail(circuit) == 2.0


def test_what_only_a_person_can_mend_waits_a_full_minute(circuit: Circuit, clock: HandClock) -> None:
    """A wrong password is tried once a minute, so that the account is not locked."""
    assert fail(circuit, needs_person=True) == 60.0
    clock.turn(59.9)
    assert not circuit.probe_is_due
    clock.turn(0.1)
    assert circuit.probe_is_due
    assert fail(circuit, needs_person=True) == 60.0


def test_success_closes_it_and_forgets(circuit: Circuit, clock: HandClock) -> None:
    """After mail got through, the next failure waits a second again."""
    for _ in range(4):
        clock.turn(fail(circuit))
    circuit.close()
    assert (circuit.is_open, circuit.probe_is_due, circuit.seconds_to_probe(), circuit.reason) == (
        False,
        True,
        0.0,
        None,
    )
    assert fail(circuit) == 1.0


def test_a_late_probe_leaves_no_negative_wait(circuit: Circuit, clock: HandClock) -> None:
    """Long after the wait is over there is nothing left to wait."""
    clock.turn(fail(circuit) + 1000)
    assert circuit.seconds_to_probe() == 0.0
