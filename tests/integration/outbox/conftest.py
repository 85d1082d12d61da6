"""An empty queue that has nothing to do with e-mail."""

from collections.abc import AsyncIterator

import pytest
from support.queue_driver import QueueDriver
from support.seeded_installation import Installation


@pytest.fixture
async def queue(installation: Installation) -> AsyncIterator[QueueDriver]:
    """An empty queue on each engine, with its time in the test's hands."""
    async with installation.open_parts() as base:
        yield QueueDriver(base.database)
