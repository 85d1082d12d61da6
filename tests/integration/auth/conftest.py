"""Fixtures for staff: a scene with a clock that stands still."""

import pytest
from support.manual_clock import ManualClock
from support.staff_people import StaffScene

from notifier.runtime import wiring


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def scene(parts: wiring.ProcessParts, clock: ManualClock) -> StaffScene:
    """People in the test's own database, on both engines."""
    return StaffScene(parts.database, clock)
