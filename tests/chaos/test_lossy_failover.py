"""An asynchronous standby is promoted and lacks the last commits: `docs/operations.md` is followed, as after a restore.

It runs only where NOTIFIER_CHAOS is long: the act itself is tested in `acceptance/test_restore.py`.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.failover import BACKLOG, IN_FLIGHT, SENDERS, SETTINGS, SETTLE_SECONDS
from chaos.fleet import Fleet
from chaos.relay_script import Pace
from chaos.size import long_only
from support import notifier_process
from support.postgres_cluster import OwnServer
from support.seeded_installation import Keys
from support.standby_server import StandbyServer


@pytest.fixture
def late_standby(durable_server: OwnServer) -> Iterator[StandbyServer]:
    """An asynchronous standby; afterwards the old primary runs again, as before."""
    with StandbyServer(durable_server) as standby:
        yield standby
        if not durable_server.is_running:
            durable_server.start()


async def _lose_commits(scene: Scene, primary: OwnServer, standby: StandbyServer) -> None:
    """Let mails leave that the standby never hears of; then the primary is gone."""
    await asyncio.to_thread(standby.halt, "fast")
    taken = scene.taken()
    await scene.until(lambda _: scene.taken() > taken + 4 * IN_FLIGHT)
    await asyncio.to_thread(primary.halt)


async def _follow_the_document(fleet: Fleet, standby: StandbyServer) -> str:
    """Stop all processes, promote, hold, start again; returns what the command prints."""
    env = fleet.members["api"].env
    await asyncio.gather(*(fleet.stop(name) for name in ("api", *SENDERS)))
    await asyncio.to_thread(standby.start)
    await asyncio.to_thread(standby.promote)
    held = await asyncio.to_thread(notifier_process.run_notifier, "db", "hold-restored", env=env)
    await fleet.start_all(*SENDERS)
    return held.stdout


@long_only
@pytest.mark.timeout(600)
async def test_nothing_is_sent_twice_unflagged(
    durable_database: tuple[str, Keys], durable_server: OwnServer, late_standby: StandbyServer, tmp_path: Path
) -> None:
    """Only what was accepted since the standby fell behind is lost; what may have been sent since then is held."""
    url, keys = durable_database
    hosts = url.replace("?host=", f"?host={late_standby.host},")
    async with Scene("asynchronous standby", hosts, keys, tmp_path) as scene:
        fleet = await scene.begin(Pace(delay=0.12), SETTINGS)
        await fleet.start_all(*SENDERS)
        async with scene.under_load(BACKLOG) as load:
            known = set(load.acknowledged)
            await asyncio.to_thread(late_standby.wait_until_replayed)
            await _lose_commits(scene, durable_server, late_standby)
            held = await _follow_the_document(fleet, late_standby)
            submitted = len(load.acknowledged)
            await scene.until(lambda _: len(load.acknowledged) > submitted + IN_FLIGHT)
        assert await final_state.settled(scene.database, SETTLE_SECONDS)
        report = await scene.report(load.acknowledged, held=held.strip())
    kept = {load.acknowledged[id_] for id_ in known}
    assert set(report.faults) == {"lost"}
    assert not kept & set(report.lost)
