"""A PostgreSQL that stops, restarts, refuses connections, or loses a commit's reply."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from uuid import uuid4

import httpx2
import pytest
from integration.api.refusal import outcome
from pydantic import SecretStr
from sqlalchemy import make_url, select
from support.cutting_proxy import CuttingProxy
from support.fresh_probes import fetch_fresh
from support.polling import poll_until
from support.postgres_cluster import OwnServer, execute_statements
from support.seeded_installation import WELCOME, Installation, PostgresSeed

from notifier.db.tables import Notification, get_columns
from notifier.runtime import wiring

PROMISED = 5.0
"""Seconds within which a caller hears that the database is away."""

BURST = 10


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    """A server that a test may stop, and must leave running."""
    server = OwnServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def own_seed(own_server: OwnServer) -> Iterator[PostgresSeed]:
    seed = PostgresSeed(own_server)
    yield seed
    seed.close()


@pytest.fixture
def own_installation(
    own_server: OwnServer, own_seed: PostgresSeed, postgres_installation: Installation
) -> Installation:
    """An installation on that server."""
    url = SecretStr(own_server.url(own_seed.create()))
    return replace(postgres_installation.with_settings(database_url=url), keys=own_seed.keys)


@pytest.fixture
async def own_parts(own_installation: Installation) -> AsyncIterator[wiring.ProcessParts]:
    async with own_installation.open_parts() as base:
        yield base


def _key() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


async def _post(client: httpx2.AsyncClient, key: dict[str, str] | None = None) -> httpx2.Response:
    return await client.post("/v1/notifications", json=WELCOME, headers=key)


async def _post_until_accepted(client: httpx2.AsyncClient) -> httpx2.Response:
    """Repeat a request as its 503 says: a slow host may need longer than a caller's deadline to come back."""

    async def post() -> httpx2.Response | None:
        reply = await _post(client)
        return None if reply.status_code == 503 else reply

    return await poll_until(post)


async def _assert_refused_in_time(client: httpx2.AsyncClient, key: dict[str, str] | None = None) -> None:
    """503 with a Retry-After, within five seconds."""
    async with asyncio.timeout(10 * PROMISED):
        reply = await _post(client, key)
    assert outcome(reply) == (503, "database_unavailable")
    assert int(reply.headers["retry-after"]) >= 1


async def _burst(client: httpx2.AsyncClient, keys: list[dict[str, str]]) -> list[httpx2.Response]:
    """Send requests with the first few keys concurrently."""
    return list(await asyncio.gather(*(_post(client, key) for key in keys[:BURST])))


async def _ids(parts: wiring.ProcessParts) -> list[str]:
    async with parts.database.read() as connection:
        return [str(id_) for id_ in await connection.scalars(select(get_columns(Notification).id))]


async def test_a_crashed_database_is_503_until_it_is_back(
    own_installation: Installation, own_parts: wiring.ProcessParts, own_server: OwnServer
) -> None:
    """Old and new connections give 503 in time; once the server is back, 202 without help."""
    async with own_installation.open_client(own_parts) as client:
        before = await _post(client)
        assert before.status_code == 202
        await asyncio.to_thread(own_server.halt, "fast")
        try:
            await asyncio.gather(*(_assert_refused_in_time(client, _key()) for _ in range(20)))
            await _assert_refused_in_time(client)
            assert outcome(await client.get(before.headers["location"])) == (503, "database_unavailable")
            live, ready = await client.get("/livez"), await fetch_fresh(client, "/readyz")
            assert (live.status_code, ready.status_code) == (200, 503)
        finally:
            await asyncio.to_thread(own_server.start)
        after = await _post_until_accepted(client)
        assert after.status_code == 202
        assert (await fetch_fresh(client, "/readyz")).status_code == 200
    assert sorted(await _ids(own_parts)) == sorted([before.json()["id"], after.json()["id"]])


async def test_a_restart_between_two_requests_is_not_noticed(
    own_installation: Installation, own_parts: wiring.ProcessParts, own_server: OwnServer
) -> None:
    """Idle connections that died are replaced before a caller gets them."""
    async with own_installation.open_client(own_parts) as client:
        assert {reply.status_code for reply in await _burst(client, [_key() for _ in range(BURST)])} == {202}
        await asyncio.to_thread(own_server.halt, "fast")
        await asyncio.to_thread(own_server.start)
        assert {reply.status_code for reply in await _burst(client, [_key() for _ in range(BURST)])} == {202}
    assert len(await _ids(own_parts)) == 2 * BURST


async def test_what_was_accepted_while_it_went_away_is_there(
    own_installation: Installation, own_parts: wiring.ProcessParts, own_server: OwnServer
) -> None:
    """Stopped under load, each 202 has its row; repeating all leaves one row per key."""
    keys = [_key() for _ in range(150)]
    async with own_installation.open_client(own_parts) as client:
        assert (await _post(client, keys[0])).status_code == 202
        halting = asyncio.create_task(asyncio.to_thread(own_server.halt, "fast"))
        replies: list[httpx2.Response] = []
        try:
            while not halting.done() and len(replies) < len(keys) - BURST:
                replies += await _burst(client, keys[len(replies) :])
            await halting
            refused = await _post(client, keys[-1])
        finally:
            await asyncio.to_thread(own_server.start)
        assert outcome(refused) == (503, "database_unavailable")
        assert {outcome(reply) for reply in replies} <= {(202, ""), (503, "database_unavailable")}
        accepted = {reply.json()["id"] for reply in replies if reply.status_code == 202}
        assert accepted <= set(await _ids(own_parts))
        again = [reply for start in range(0, len(keys), BURST) for reply in await _burst(client, keys[start:])]
    assert {reply.status_code for reply in again} == {202}
    ids = [reply.json()["id"] for reply in again]
    assert accepted <= set(ids)
    assert sorted(await _ids(own_parts)) == sorted(ids)


async def test_a_refused_connection_is_503(
    own_installation: Installation, own_parts: wiring.ProcessParts, own_server: OwnServer
) -> None:
    """A server without free connections (53300) gives 503, and then 202."""
    url = make_url(own_installation.settings.effective_database_url)
    role = f"caller_{uuid4().hex[:8]}"
    execute_in = own_installation.settings.effective_database_url
    await asyncio.to_thread(
        execute_statements,
        execute_in,
        f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
    )
    limited = own_installation.with_settings(
        database_url=SecretStr(url.set(username=role).render_as_string(hide_password=False))
    )
    async with limited.open_parts() as parts, limited.open_client(parts) as client:
        await _assert_refused_in_time(client)
        assert (await fetch_fresh(client, "/readyz")).status_code == 503
        await asyncio.to_thread(execute_statements, execute_in, f"ALTER ROLE {role} CONNECTION LIMIT -1")
        assert (await _post_until_accepted(client)).status_code == 202


async def test_a_database_that_hangs_is_503_in_time(own_installation: Installation, own_server: OwnServer) -> None:
    """A server that accepts requests and never answers gives 503 within five seconds."""
    async with CuttingProxy(own_installation.settings) as proxy:
        slow = own_installation.with_settings(database_url=SecretStr(proxy.url))
        async with slow.open_parts() as parts, slow.open_client(parts) as client:
            assert (await _post(client)).status_code == 202
            proxy.silent = True
            await _assert_refused_in_time(client, _key())
            proxy.silent = False


async def test_a_commit_whose_reply_was_lost_is_never_doubled(
    own_installation: Installation, own_parts: wiring.ProcessParts
) -> None:
    """After a lost commit reply, repeating the key returns the committed row."""
    key = _key()
    async with CuttingProxy(own_installation.settings) as proxy:
        lossy = own_installation.with_settings(database_url=SecretStr(proxy.url))
        async with lossy.open_parts() as parts, lossy.open_client(parts) as client:
            assert (await _post(client)).status_code == 202
            proxy.cut_reply_to = key["Idempotency-Key"].encode()
            first = await _post(client, key)
            assert not proxy.cut_reply_to
            assert len(await _ids(own_parts)) == 2
            assert outcome(first) in {(503, "database_unavailable"), (202, "")}
            again = await _post(client, key)
    assert (again.status_code, again.headers.get("idempotent-replayed")) == (202, "true")
    assert again.json()["id"] in await _ids(own_parts)
    assert len(await _ids(own_parts)) == 2
