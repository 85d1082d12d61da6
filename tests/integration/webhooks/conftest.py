"""Fixtures for webhooks: a receiver, and a shop that may manage its endpoints."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from support import webhook_receiver as receivers
from support.seeded_installation import Installation
from support.webhook_receiver import WebhookReceiver

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.runtime import wiring

LOOPBACK = ("127.0.0.1", "localhost")


@dataclass
class Shop:
    """A service and the receiver of its webhooks."""

    parts: wiring.ProcessParts
    client: httpx2.AsyncClient
    receiver: WebhookReceiver

    async def endpoint(self, path: str = "/hook", **fields: Any) -> dict[str, Any]:
        """Create an endpoint at the receiver."""
        reply = await self.client.post("/v1/webhooks", json={"url": self.receiver.url(path)} | fields)
        assert reply.status_code == 201, reply.text
        endpoint: dict[str, Any] = reply.json()
        return endpoint

    async def deliveries(self, endpoint: dict[str, Any], **query: str) -> list[dict[str, Any]]:
        """List the deliveries of the endpoint, newest first."""
        reply = await self.client.get(f"/v1/webhooks/{endpoint['id']}/deliveries", params=query)
        deliveries: list[dict[str, Any]] = reply.json()["deliveries"]
        return deliveries


@pytest.fixture
def installation(installation: Installation) -> Installation:
    """The installation of each test, which may call loopback."""
    return installation.with_settings(webhooks={"insecure_hosts": LOOPBACK, "timeout": 2.0})


async def key_of(parts: wiring.ProcessParts, service: str, *scopes: KeyScope) -> str:
    """Create a key of the service with these scopes, or with all."""
    async with parts.database.write() as connection:
        id_ = await service_admin.find_service(connection, service)
        return await key_admin.create_live_key(connection, id_, scopes=scopes or tuple(KeyScope), now=parts.clock.now())


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with receivers.run_receiver() as listening:
        yield listening


@pytest.fixture
async def shop(
    installation: Installation, parts: wiring.ProcessParts, receiver: WebhookReceiver
) -> AsyncIterator[Shop]:
    async with installation.open_client(parts, await key_of(parts, "shop")) as client:
        yield Shop(parts, client, receiver)
