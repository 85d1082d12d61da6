"""What tests of the standby ask: over the API, and where a read ran."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from support.seeded_installation import WELCOME
from support.standby_server import StandbyServer

TOMORROW = {"send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
_WHERE = text("SELECT pg_is_in_recovery()")


async def list_ids(client: httpx2.AsyncClient, query: str = "") -> list[str]:
    """List the ids of the first page of notifications."""
    reply = await client.get(f"/v1/notifications{query}")
    assert reply.status_code == 200, reply.text
    return [each["id"] for each in reply.json()["notifications"]]


async def post(client: httpx2.AsyncClient, key: str, **fields: Any) -> httpx2.Response:
    """Submit a mail with an idempotency key."""
    reply = await client.post("/v1/notifications", json=WELCOME | fields, headers={"Idempotency-Key": key})
    assert reply.status_code == 202, reply.text
    return reply


async def pause(standby: StandbyServer) -> None:
    """Let the standby show nothing new."""
    await asyncio.to_thread(standby.wait_until_replayed)
    await asyncio.to_thread(standby.pause_replay)


async def is_on_standby(connection: AsyncConnection) -> bool:
    """True if the connection leads to the standby."""
    return bool((await connection.execute(_WHERE)).scalar_one())
