"""An empty queue with a handler that has nothing to do with e-mail."""

from collections.abc import AsyncIterator

import pytest
from support.queue_driver import QueueDriver
from support.seeded_installation import Installation


@pytest.fixture
async def queue(installation: Installation) -> AsyncIterator[QueueDriver]:
    """Provide an empty queue on each engine, with a clock that the test sets."""
    async with installation.open_parts() as base:
        yield QueueDriver(base.database)
