"""Behind PgBouncer in transaction mode: it is killed, and moved to a new primary; processes are killed.

The short form is `acceptance/test_story_behind_pooler.py`.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos import test_kills
from chaos.chaos_scene import Scene
from chaos.failover import check_failover
from chaos.size import long_only
from chaos.test_kills import Storm
from support.document_blocks import list_blocks
from support.pgbouncer import PgBouncer
from support.postgres_cluster import OwnServer
from support.seeded_installation import Keys
from support.silent_host import SilentHost
from support.standby_server import StandbyServer

SERVER_CONNECTIONS = 5


@pytest.fixture
def pooler(durable_server: OwnServer) -> Iterator[PgBouncer]:
    """A pooler with the settings that the document recommends for a failover."""
    (settings,) = list_blocks("docs/operations.md", "ini")
    with PgBouncer(durable_server, "transaction", SERVER_CONNECTIONS, more=settings.text) as running:
        yield running


@long_only
@pytest.mark.timeout(600)
async def test_a_pooler_moved_to_a_new_primary(
    durable_database: tuple[str, Keys],
    durable_server: OwnServer,
    standby: StandbyServer,
    pooler: PgBouncer,
    tmp_path: Path,
) -> None:
    """The pooler is killed and starts again; then the primary crashes, and the pooler leads to the promoted standby."""
    url, keys = durable_database

    async def harm() -> None:
        await asyncio.to_thread(pooler.kill)
        await asyncio.to_thread(pooler.start)
        await asyncio.to_thread(durable_server.halt, "immediate")
        await asyncio.to_thread(standby.promote)
        pooler.move_to(standby.url("postgres"))

    async with Scene("pooler moved to a new primary", pooler.url(url), keys, tmp_path) as scene:
        await check_failover(scene, harm)


@long_only
@pytest.mark.timeout(600)
async def test_a_silent_primary_behind_a_pooler(
    durable_database: tuple[str, Keys], standby: StandbyServer, pooler: PgBouncer, tmp_path: Path
) -> None:
    """The primary's host vanishes from the network, and the pooler leads to the promoted standby."""
    url, keys = durable_database
    async with SilentHost(url) as old:
        pooler.move_to(f"postgresql://postgres@{old.address}/postgres")

        async def harm() -> None:
            old.go_silent()
            await asyncio.to_thread(standby.promote)
            pooler.move_to(standby.url("postgres"))

        async with Scene("silent primary behind a pooler", pooler.url(url), keys, tmp_path) as scene:
            await check_failover(scene, harm)


@long_only
@pytest.mark.timeout(600)
async def test_kills_behind_a_pooler(durable_database: tuple[str, Keys], pooler: PgBouncer, tmp_path: Path) -> None:
    """With one API and two senders killed repeatedly, nothing is lost, stuck, or sent twice without `unknown`."""
    url, keys = durable_database
    async with Scene("kills behind a pooler", pooler.url(url), keys, tmp_path) as scene:
        fleet = await scene.begin(test_kills.PACE, test_kills.SETTINGS)
        await fleet.start_all("first", "second")
        await test_kills.survive(scene, Storm(kills=50, pause=(0.3, 2.0), min_unknown=5))
