"""Fixtures for the client: clients of either kind, and the real API on a port."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from integration.client.both_clients import KEY, QUICK, Client, Connect

from notifier.client import AsyncNotifier, Notifier
from notifier.runtime import wiring


@pytest.fixture(params=[Notifier, AsyncNotifier])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Make clients of one kind and close them at the end."""
    async with AsyncExitStack() as stack:

        def make(url: str, key: str = KEY, **options: Any) -> Client:
            client = Client(request.param(url=url, key=key, **({"retries": QUICK} | options)))
            stack.push_async_callback(client.close)
            return client

        yield make


@pytest.fixture
async def api(parts: wiring.ProcessParts) -> AsyncIterator[str]:
    """The URL of the real API over the installation's database."""
    listener = wiring.open_listener("127.0.0.1", 0)
    async with wiring.serve_http(wiring.build_api(parts), listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
