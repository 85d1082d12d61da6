"""A queue of one's own, without anything of e-mail in it."""

from collections.abc import AsyncIterator

import pytest
from parts.installation import Installation
from parts.queue import Queue


@pytest.fixture
async def queue(installation: Installation) -> AsyncIterator[Queue]:
    """An empty queue on each engine, with its time in the test's hands."""
    async with installation.base() as base:
        yield Queue(base.database)
