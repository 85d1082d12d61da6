"""CPU budgets of template versions with slow mails, with a clock that the test moves."""

import pytest
from support.manual_clock import ManualClock

from notifier.delivery.mail_renderer import MEMORY_SECONDS, CostTracker
from notifier.rendering.preview_pool import CpuBudget

BURST_SECONDS = 2.0
SHARE = 0.01


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def pace(clock: ManualClock) -> CpuBudget:
    return CpuBudget(clock, burst=BURST_SECONDS, share=SHARE)


def test_a_few_slow_mails_delay_nothing(pace: CpuBudget) -> None:
    """Up to the burst, the next mail may be tried at once."""
    assert pace.get_wait("v") == 0
    for _ in range(int(BURST_SECONDS / 0.25)):
        pace.charge("v", 0.25)
    assert pace.get_wait("v") == 0


def test_more_slow_mails_get_a_share_of_a_processor(pace: CpuBudget, clock: ManualClock) -> None:
    """Each further second is followed by a hundred, neither less nor more."""
    pace.charge("v", BURST_SECONDS)
    for _ in range(5):
        pace.charge("v", 1.0)
        assert pace.get_wait("v") == pytest.approx(1.0 / SHARE, abs=0.1)
        clock.advance(1.0 / SHARE - 0.01)
        assert pace.get_wait("v") > 0
        clock.advance(0.011)
        assert pace.get_wait("v") == 0


def test_other_versions_do_not_wait(pace: CpuBudget) -> None:
    """Whatever one version uses, the others are not affected."""
    pace.charge("v", 100.0)
    assert pace.get_wait("w") == 0


def test_the_budget_grows_back_to_the_burst(pace: CpuBudget, clock: ManualClock) -> None:
    """After a rest of any length the whole burst is there again, and no more."""
    pace.charge("v", BURST_SECONDS)
    clock.advance(1000 * BURST_SECONDS / SHARE)
    pace.charge("v", BURST_SECONDS)
    assert pace.get_wait("v") == 0
    pace.charge("v", 0.5)
    assert pace.get_wait("v") == pytest.approx(0.5 / SHARE)


def test_rare_slow_mails_never_delay_the_others(pace: CpuBudget, clock: ManualClock) -> None:
    """One in half a minute, for an hour: each costs no more than what grows back in between."""
    for _ in range(120):
        assert not pace.charge("v", 0.25)
        assert pace.get_wait("v") == 0
        clock.advance(30)


def test_the_start_of_waiting_is_reported_once(pace: CpuBudget, clock: ManualClock) -> None:
    """Not at each later charge; again after a rest."""
    results = [pace.charge("v", 0.75) for _ in range(4)]
    clock.advance(1000)
    assert [*results, pace.charge("v", 3.0)] == [False, False, True, False, True]


@pytest.fixture
def costs(clock: ManualClock) -> CostTracker:
    return CostTracker(clock, free=0.05, burst=1.0, share=0.5)


def test_usual_work_costs_nothing(costs: CostTracker) -> None:
    """However much of it there is."""
    for _ in range(10_000):
        costs.add("v", 0.05)
    assert (costs.is_costly("v"), costs.get_wait("v")) == (False, 0)


def test_costly_work_counts_from_the_second_time(costs: CostTracker, clock: ManualClock) -> None:
    """Once may be the machine's fault; it is forgotten after ten minutes. Others are not affected."""
    costs.add("v", 0.06)
    assert not costs.is_costly("v")
    costs.add("v", 0.06)
    assert costs.is_costly("v")
    assert not costs.is_costly("w")
    clock.advance(MEMORY_SECONDS - 1)
    assert costs.is_costly("v")
    clock.advance(2)
    assert not costs.is_costly("v")
    costs.add("w", 0.06)
    costs.add("v", 0.06)
    assert not costs.is_costly("v")


def test_costly_work_has_its_share(costs: CostTracker) -> None:
    """Beyond the burst, each second of it is followed by as long a pause as the share says."""
    costs.add("v", 1.0)
    assert costs.get_wait("v") == 0
    costs.add("v", 1.0)
    assert costs.get_wait("v") == pytest.approx(1.0 / 0.5)
