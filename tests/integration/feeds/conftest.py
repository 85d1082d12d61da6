"""Fixtures for feeds: a server with documents, and a shop that may manage its feeds, with a running sender."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from support import webhook_receiver as receivers
from support.polling import poll_until
from support.seeded_installation import Installation
from support.webhook_receiver import Reply, WebhookReceiver, build_reply

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.runtime import wiring

LOOPBACK = ("127.0.0.1", "localhost")
ENDED = {"succeeded", "failed", "cancelled"}


@dataclass
class FeedShop:
    """A service and the server of its feed."""

    parts: wiring.ProcessParts
    client: httpx2.AsyncClient
    server: WebhookReceiver

    def serve(self, reply: Reply) -> None:
        """Let the server give this reply from now on."""
        self.server.always["/feed"] = reply

    def serve_document(self, body: bytes, **fields: str) -> None:
        """Let the server give this document from now on."""
        self.serve(build_reply("200 OK", body, **fields))

    async def save(self, name: str = "prices", **fields: Any) -> dict[str, Any]:
        """Save a feed at the server."""
        reply = await self.client.put(f"/v1/feeds/{name}", json={"url": self.server.url("/feed")} | fields)
        assert reply.status_code == 200, reply.text
        saved: dict[str, Any] = reply.json()
        return saved

    async def fetch(self, name: str = "prices") -> dict[str, Any]:
        """Fetch the feed, and return the job when it has ended."""
        reply = await self.client.post(f"/v1/feeds/{name}/fetch")
        assert reply.status_code == 202, reply.text
        return await self.wait_for_job(reply.headers["location"])

    async def wait_for_job(self, path: str) -> dict[str, Any]:
        """Return the job when it has ended."""

        async def get_ended() -> dict[str, Any] | None:
            job: dict[str, Any] = (await self.client.get(path)).json()
            return job if job["state"] in ENDED else None

        return await poll_until(get_ended)

    async def get(self, name: str = "prices") -> dict[str, Any]:
        """Get the feed as it is now."""
        feed: dict[str, Any] = (await self.client.get(f"/v1/feeds/{name}")).json()
        return feed

    async def list_revisions(self, name: str = "prices") -> list[dict[str, Any]]:
        """List the revisions of the feed, newest first."""
        revisions: list[dict[str, Any]] = (await self.client.get(f"/v1/feeds/{name}/revisions")).json()["revisions"]
        return revisions

    async def get_document(self, number: int, name: str = "prices") -> Any:
        """Get the document of a revision."""
        return (await self.client.get(f"/v1/feeds/{name}/revisions/{number}")).json()["document"]


@pytest.fixture
def installation(installation: Installation) -> Installation:
    """The installation of each test, whose feeds may come from loopback."""
    return installation.with_settings(feeds={"insecure_hosts": LOOPBACK})


async def create_full_key(parts: wiring.ProcessParts, service: str, *scopes: KeyScope) -> str:
    """Create a key of the service with these scopes, or with all."""
    async with parts.database.write() as connection:
        id_ = await service_admin.find_service(connection, service)
        return await key_admin.create_live_key(connection, id_, scopes=scopes or tuple(KeyScope), now=parts.clock.now())


@pytest.fixture
async def server() -> AsyncIterator[WebhookReceiver]:
    """A server on loopback."""
    async with receivers.run_receiver() as listening:
        yield listening


@pytest.fixture
async def shop(
    installation: Installation, parts: wiring.ProcessParts, server: WebhookReceiver
) -> AsyncIterator[FeedShop]:
    """A shop, without a running sender."""
    async with installation.open_client(parts, await create_full_key(parts, "shop")) as client:
        yield FeedShop(parts, client, server)


@pytest.fixture
async def running_shop(shop: FeedShop) -> AsyncIterator[FeedShop]:
    """A shop whose sender runs."""
    async with wiring.run_sender(shop.parts):
        yield shop
