"""Fixtures for the API: a client, row counts, a clock that can be advanced, and the log."""

import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import httpx2
import pytest
import structlog
from integration.api.clock import ForwardClock
from integration.api.refusal import Written
from sqlalchemy import func, select
from support import marketing_template
from support.seeded_installation import Installation

from notifier.db.tables import Notification, NotificationContent, OutboxEntry, Table
from notifier.runtime import wiring
from notifier.telemetry import logging


@pytest.fixture
async def client(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop."""
    async with installation.open_client(parts) as caller:
        yield caller


@pytest.fixture
def written(parts: wiring.ProcessParts) -> Written:
    """A function that counts notifications, contents and outbox entries."""
    tables: tuple[type[Table], ...] = (Notification, NotificationContent, OutboxEntry)

    async def count() -> tuple[int, ...]:
        async with parts.database.read() as connection:
            counts = [await connection.scalar(select(func.count()).select_from(table)) for table in tables]
        return tuple(int(number or 0) for number in counts)

    return count


@pytest.fixture
def forward(parts: wiring.ProcessParts) -> tuple[wiring.ProcessParts, ForwardClock]:
    """The same parts with a clock that a test can advance."""
    clock = ForwardClock()
    return replace(parts, clock=clock), clock


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All log lines, as a production process writes them."""
    stream = io.StringIO()
    logging.configure_logging(json=True, level="INFO", stream=stream)
    yield stream
    structlog.reset_defaults()


@pytest.fixture
async def served(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop with every scope, over a real socket with uvicorn."""
    listener = wiring.open_listener("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    headers = {"Authorization": f"Bearer {await marketing_template.create_marketing_key(parts, 'shop')}"}
    async with (
        wiring.serve_http(wiring.build_api(parts), listener),
        httpx2.AsyncClient(base_url=url, headers=headers) as caller,
    ):
        yield caller
