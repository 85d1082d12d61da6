"""Requests `/readyz` and `/metrics` without their cache."""

from typing import Any

import httpx2


async def fetch_fresh(client: httpx2.AsyncClient, path: str) -> httpx2.Response:
    """Drop the cached probes of an application in this process, and send the request."""
    transport: Any = client._transport
    transport.app.state.probes.forget()
    return await client.get(path)
