"""A sender of jobs on each database, with a job that counts."""

from collections.abc import AsyncIterator

import pytest
from support import counting_action
from support.counting_action import CountingAction
from support.job_driver import JobDriver
from support.seeded_installation import Installation


@pytest.fixture
def action() -> CountingAction:
    """A job that inserts numbered rows."""
    return CountingAction()


@pytest.fixture
async def driver(installation: Installation, action: CountingAction) -> AsyncIterator[JobDriver]:
    """A sender that works on this job only."""
    async with installation.open_parts() as parts:
        await counting_action.create_table(parts.database)
        yield JobDriver(parts.database, {action.kind: action})
