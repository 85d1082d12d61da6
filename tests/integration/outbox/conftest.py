"""An empty queue that has nothing to do with e-mail."""

from collections.abc import AsyncIterator

import pytest
from parts.installation import Installation
from parts.queue import Queue


@pytest.fixture
async def queue(installation: Installation) -> AsyncIterator[Queue]:
    """An empty queue on each engine, with its time in the test's hands."""
    async with installation.base() as base:
        yield Queue(base.database)
