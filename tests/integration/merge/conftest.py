"""Fixtures for merges: a client of the shop beside a running sender."""

from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from support.seeded_installation import Installation

from notifier.merge import merge_pace
from notifier.runtime import wiring


@pytest.fixture
async def client(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop."""
    async with installation.open_client(parts) as caller:
        yield caller


@pytest.fixture
async def sender(parts: wiring.ProcessParts) -> AsyncIterator[wiring.RunningSender]:
    """A sender, which also does the steps of merges."""
    async with wiring.run_sender(parts) as running:
        yield running


@pytest.fixture
def bounded_outbox() -> Iterator[int]:
    """Only so many mails of a merge may wait: a thousand, so that a test need not write ten thousand."""
    before, merge_pace.MAX_AHEAD = merge_pace.MAX_AHEAD, 1000
    yield 1000
    merge_pace.MAX_AHEAD = before
