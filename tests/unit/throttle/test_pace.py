"""CPU budgets of template versions with slow mails, with a clock that the test moves."""

import pytest
from parts.time import HandClock

from notifier.throttle.pace import MEMORY_SECONDS, Costs, Pace

BURST_SECONDS = 2.0
SHARE = 0.01


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def pace(clock: HandClock) -> Pace:
    return Pace(clock, burst=BURST_SECONDS, share=SHARE)


def test_a_few_slow_mails_delay_nothing(pace: Pace) -> None:
    """Up to the burst, the next mail may be tried at once."""
    assert pace.wait("v") == 0
    for _ in range(int(BURST_SECONDS / 0.25)):
        pace.burnt("v", 0.25)
    assert pace.wait("v") == 0


def test_more_slow_mails_get_a_share_of_a_processor(pace: Pace, clock: HandClock) -> None:
    """Each further second is followed by a hundred, neither less nor more."""
    pace.burnt("v", BURST_SECONDS)
    for _ in range(5):
        pace.burnt("v", 1.0)
        assert pace.wait("v") == pytest.approx(1.0 / SHARE, abs=0.1)
        clock.later(1.0 / SHARE - 0.01)
        assert pace.wait("v") > 0
        clock.later(0.011)
        assert pace.wait("v") == 0


def test_other_versions_do_not_wait(pace: Pace) -> None:
    """Whatever one version uses, the others are not affected."""
    pace.burnt("v", 100.0)
    assert pace.wait("w") == 0


def test_the_budget_grows_back_to_the_burst(pace: Pace, clock: HandClock) -> None:
    """After a rest of any length the whole burst is there again, and no more."""
    pace.burnt("v", BURST_SECONDS)
    clock.later(1000 * BURST_SECONDS / SHARE)
    pace.burnt("v", BURST_SECONDS)
    assert pace.wait("v") == 0
    pace.burnt("v", 0.5)
    assert pace.wait("v") == pytest.approx(0.5 / SHARE)


def test_rare_slow_mails_never_delay_the_others(pace: Pace, clock: HandClock) -> None:
    """One in half a minute, for an hour: each costs no more than what grows back in between."""
    for _ in range(120):
        assert not pace.burnt("v", 0.25)
        assert pace.wait("v") == 0
        clock.later(30)


def test_the_start_of_waiting_is_reported_once(pace: Pace, clock: HandClock) -> None:
    """Not at each later charge; again after a rest."""
    results = [pace.burnt("v", 0.75) for _ in range(4)]
    clock.later(1000)
    assert [*results, pace.burnt("v", 3.0)] == [False, False, True, False, True]


@pytest.fixture
def costs(clock: HandClock) -> Costs:
    return Costs(clock, free=0.05, burst=1.0, share=0.5)


def test_usual_work_costs_nothing(costs: Costs) -> None:
    """However much of it there is."""
    for _ in range(10_000):
        costs.add("v", 0.05)
    assert (costs.is_costly("v"), costs.wait("v")) == (False, 0)


def test_costly_work_counts_from_the_second_time(costs: Costs, clock: HandClock) -> None:
    """Once may be the machine's fault; it is forgotten after ten minutes. Others are not affected."""
    costs.add("v", 0.06)
    assert not costs.is_costly("v")
    costs.add("v", 0.06)
    assert costs.is_costly("v")
    assert not costs.is_costly("w")
    clock.later(MEMORY_SECONDS - 1)
    assert costs.is_costly("v")
    clock.later(2)
    assert not costs.is_costly("v")
    costs.add("w", 0.06)
    costs.add("v", 0.06)
    assert not costs.is_costly("v")


def test_costly_work_has_its_share(costs: Costs) -> None:
    """Beyond the burst, each second of it is followed by as long a pause as the share says."""
    costs.add("v", 1.0)
    assert costs.wait("v") == 0
    costs.add("v", 1.0)
    assert costs.wait("v") == pytest.approx(1.0 / 0.5)
