"""Event streams: one shared query per batch, a maximum number, and a last event with the reason."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx2
import pytest
from integration.api.clock import SteppingClock
from sqlalchemy import update
from support.connection_load import measure_load
from support.polling import wait_until
from support.seeded_installation import WELCOME, Installation

from notifier.api.app import create_app
from notifier.api.change_stream import MAX_WATCH_SECONDS
from notifier.db.tables import ApiKey, get_columns
from notifier.lookup.batch_progress import BatchWatch
from notifier.runtime import wiring
from notifier.sse import OpenStreams

WATCHERS = 10
STEPS = 5


class Served:
    """A running API with a client, its open streams, and a clock that can be advanced."""

    def __init__(self, client: httpx2.AsyncClient, app: Any, clock: SteppingClock) -> None:
        self.client = client
        self.streams = app.state.streams
        self.clock = clock


@asynccontextmanager
async def _served(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[Served]:
    clock = SteppingClock()
    dependencies: Any = wiring.build_api(replace(parts, clock=clock)).state.dependencies
    watch = BatchWatch(parts.database, clock, seconds=0.05)
    streams = OpenStreams(max_streams=WATCHERS + 2, max_per_owner=WATCHERS)
    app = create_app(replace(dependencies, streams=streams, batch_watch=watch))
    listener = wiring.open_listener("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    headers = {"Authorization": f"Bearer {installation.keys.shop}"}
    limits = httpx2.Limits(max_connections=None)
    async with (
        asyncio.timeout(60),
        httpx2.AsyncClient(base_url=url, headers=headers, limits=limits) as client,
        wiring.serve_http(app, listener),
    ):
        yield Served(client, app, clock)
    listener.close()


async def _batch(client: httpx2.AsyncClient) -> str:
    """The path of the progress of a batch that waits until tomorrow."""
    later = {"send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    reply = await client.post("/v1/notifications/batch", json={"notifications": [WELCOME | later]})
    return f"/v1/batches/{reply.json()['batch_id']}/progress"


def _has_grown(statements: list[str], seen: int) -> bool:
    return len(statements) > seen


async def _first(stream: httpx2.Response) -> AsyncIterator[str]:
    """The lines of a stream whose first event has come."""
    assert stream.status_code == 200
    lines = stream.aiter_lines()
    while not (await anext(lines)).startswith("data: "):
        pass
    return lines


async def _ending(lines: AsyncIterator[str]) -> tuple[str, dict[str, str]]:
    """The name and data of the last event, after which the stream must end cleanly."""
    rest = [line async for line in lines if line and not line.startswith(":")]
    name, data = rest[-2:]
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def test_all_who_watch_a_batch_share_one_look(installation: Installation, parts: wiring.ProcessParts) -> None:
    """Ten streams of one batch share one query per clock step, on one connection."""
    async with _served(installation, parts) as served, AsyncExitStack() as stack:
        path = await _batch(served.client)
        watching = [
            await _first(await stack.enter_async_context(served.client.stream("GET", path))) for _ in range(WATCHERS)
        ]
        with measure_load(parts.database) as load:
            for _ in range(STEPS):
                seen = len(load.statements)
                served.clock.seconds += 1
                await wait_until(partial(_has_grown, load.statements, seen))
        views = [item for item in load.statements if "count(" in item]
        assert 1 <= len(views) <= STEPS + 1
        assert len(watching) == WATCHERS
        assert load.most_out <= 2  # the batch, and the key that all of them have


async def test_a_stream_too_many_is_429_and_one_that_ends_makes_room(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """The maximum per key and in all gives 429; a closed stream frees its place."""
    other = {"Authorization": f"Bearer {installation.keys.reader}"}
    async with _served(installation, parts) as served:
        path = await _batch(served.client)
        async with AsyncExitStack() as stack:
            watching = [
                await _first(await stack.enter_async_context(served.client.stream("GET", path)))
                for _ in range(WATCHERS)
            ]
            refused = await served.client.get(path)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
            assert int(refused.headers["retry-after"]) >= 1
            for _ in range(2):
                stream = await stack.enter_async_context(served.client.stream("GET", path, headers=other))
                watching.append(await _first(stream))
            assert served.streams.open_count == len(watching)
            assert (await served.client.get(path, headers=other)).json()["code"] == "too_many_streams"
            assert (await served.client.head(path, headers=other)).status_code == 429
        await wait_until(lambda: served.streams.open_count == 0)
        for _ in range(WATCHERS + 2):
            assert (await served.client.head(path)).status_code == 200
        await wait_until(lambda: served.streams.open_count == 0)


@pytest.mark.parametrize("change", ["revoked_at", "expires_at", "scopes"])
async def test_a_stream_ends_with_its_key(installation: Installation, parts: wiring.ProcessParts, change: str) -> None:
    """If the key is revoked, expires or loses the scope, the last event says so."""
    value: Any = [] if change == "scopes" else datetime.now(UTC)
    prefix = installation.keys.shop[:-32]
    async with _served(installation, parts) as served:
        path = await _batch(served.client)
        async with served.client.stream("GET", path) as stream:
            lines = await _first(stream)
            async with parts.database.write() as connection:
                changed = update(ApiKey).where(get_columns(ApiKey).prefix == prefix).values({change: value})
                await connection.execute(changed)
            served.clock.seconds += 2
            name, data = await _ending(lines)
            assert (name, data["code"]) == ("end", "unauthenticated")
        await wait_until(lambda: served.streams.open_count == 0)


async def test_a_stream_has_a_longest_life_and_ends_with_the_server(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """After ten minutes or at shutdown the last event gives the reason, and the stream ends cleanly."""
    async with AsyncExitStack() as stack:
        async with _served(installation, parts) as served:
            path = await _batch(served.client)
            async with served.client.stream("GET", path) as stream:
                lines = await _first(stream)
                served.clock.seconds += MAX_WATCH_SECONDS + 1
                name, data = await _ending(lines)
                assert (name, data["code"]) == ("end", "time_limit")
            stream = await stack.enter_async_context(served.client.stream("GET", path))
            lines = await _first(stream)
            ending = asyncio.create_task(_ending(lines))
        name, data = await ending
        assert (name, data["code"]) == ("end", "shutting_down")
        assert served.streams.open_count == 0
