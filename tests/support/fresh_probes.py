"""What `/readyz` and `/metrics` say of this moment; without this they say what they said a few seconds ago."""

from typing import Any

import httpx2


async def fetch_fresh(client: httpx2.AsyncClient, path: str) -> httpx2.Response:
    """The answer to a client of an application in this process, measured now."""
    transport: Any = client._transport
    transport.app.state.probes.forget()
    return await client.get(path)
