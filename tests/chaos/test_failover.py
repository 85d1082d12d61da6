"""A synchronous standby becomes the primary under load: every 202 is there, and no mail is sent twice.

The seconds until mail flows again are printed, and stand in `docs/operations.md`. The test allows ten times as long.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from chaos.chaos_scene import Scene
from chaos.failover import SENDERS, SETTINGS, check_failover
from chaos.process_tree import list_descendants
from chaos.relay_script import Pace
from chaos.size import long_only, size
from chaos.test_database import CUT
from support.polling import poll_until
from support.postgres_cluster import OwnServer, execute_statement, execute_statements
from support.seeded_installation import WELCOME, Keys
from support.silent_host import SilentHost
from support.standby_server import StandbyServer

LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"


@pytest.mark.timeout(size(300, 600))
@pytest.mark.parametrize("seconds", size([0.0], [0.0, 10.0]))
async def test_a_promoted_standby(
    durable_database: tuple[str, Keys],
    durable_server: OwnServer,
    standby: StandbyServer,
    tmp_path: Path,
    seconds: float,
) -> None:
    """The primary crashes, and the standby is promoted at once or later. All senders listen for wake-ups there."""
    url, keys = durable_database

    async def harm() -> None:
        await asyncio.to_thread(durable_server.halt, "immediate")
        await asyncio.sleep(seconds)
        await asyncio.to_thread(standby.promote)

    hosts = url.replace("?host=", f"?host={standby.host},")

    async def all_listen() -> bool:
        return bool(await asyncio.to_thread(execute_statement, standby.url("postgres"), LISTENERS) == len(SENDERS))

    async with Scene(f"promoted after {seconds:.0f} s", hosts, keys, tmp_path) as scene:
        await check_failover(scene, harm)
        await poll_until(all_listen)


@long_only
@pytest.mark.timeout(600)
async def test_a_primary_that_goes_silent(
    durable_database: tuple[str, Keys], durable_server: OwnServer, standby: StandbyServer, tmp_path: Path
) -> None:
    """The primary's host vanishes from the network, as without power: no connection to it is ever closed.

    The short form is `integration/db/test_silent_host.py`.
    """
    url, keys = durable_database
    async with SilentHost(url) as old, SilentHost(standby.url("postgres")) as new:

        async def harm() -> None:
            old.go_silent()
            await asyncio.to_thread(standby.promote)

        name = url.partition("?")[0].rpartition("/")[2]
        hosts = f"postgresql://postgres@{old.address},{new.address}/{name}?target_session_attrs=read-write"
        async with Scene("silent primary", hosts, keys, tmp_path) as scene:
            await check_failover(scene, harm)


@contextlib.contextmanager
def _frozen(standby: StandbyServer) -> Iterator[None]:
    """Stop all processes of the standby until the end of the block, so that it confirms nothing."""
    pids = [standby.pid, *list_descendants(standby.pid)]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_no_202_before_the_standby_has_it(
    durable_database: tuple[str, Keys], standby: StandbyServer, tmp_path: Path
) -> None:
    """While the standby is stuck every POST gets 503, also when its row is found; so do a cancel and a search by key.

    PostgreSQL shows a row to others as soon as the wait for the standby is given up.
    """
    url, keys = durable_database
    headers = {"Authorization": f"Bearer {keys.shop}"}
    async with Scene("stuck standby", url, keys, tmp_path) as scene:
        fleet = await scene.begin(Pace(), SETTINGS)
        await fleet.start_api()
        api = f"http://127.0.0.1:{fleet.api_port}"
        async with httpx2.AsyncClient(base_url=api, headers=headers, timeout=100) as client:

            async def post(number: int) -> httpx2.Response:
                key = {"Idempotency-Key": str(number)} if number else {}
                return await client.post("/v1/notifications", json=WELCOME, headers=key)

            path = (await post(0)).headers["location"]
            with _frozen(standby):
                assert [(await post(number)).status_code for number in (1, 0)] == [503, 503]
                # No session waits any more, as after a restart of the primary: the rows are found.
                await asyncio.to_thread(execute_statements, url, CUT)
                assert (await post(1)).status_code == 503
                assert (await client.get("/v1/notifications?idempotency_key=1")).status_code == 503
                assert [(await client.post(f"{path}/cancel")).status_code for _ in range(2)] == [503, 503]
            assert (await post(1)).headers["idempotent-replayed"] == "true"
            assert (await client.post(f"{path}/cancel")).status_code == 200
