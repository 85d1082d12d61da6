"""C4: PostgreSQL crashes, hangs or loses connections with mails in flight; all processes recover without help."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest
from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.held_connection import Held, Wire
from chaos.process_tree import list_descendants
from chaos.relay_script import Pace
from chaos.size import size
from support.postgres_cluster import OwnServer, execute_statements

SENDERS = ("first", "second")
BACKLOG = size(60, 150)
SETTLE_SECONDS = size(60, 120)
DEAD_AFTER = size(3, 20)  # seconds; shorter than the longest outage
SETTINGS = {
    "SENDER__CONCURRENCY": "8",
    "SENDER__RESEND_AFTER": "2",
    "SENDER__LEASE": "10",
    "SENDER__DEAD_AFTER": str(DEAD_AFTER),
}
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


async def _carries_on(
    scene: Scene, harm: Callable[[], Awaitable[None]], *, dead_after: float = DEAD_AFTER, **urls: str
) -> None:
    """Whatever happens to the database, each mail is sent once, none is `unknown`, and no process counts as dead.

    `urls` are the database URLs of senders that do not use the usual one.
    """
    fleet = await scene.begin(Pace(delay=0.12), SETTINGS | {"SENDER__DEAD_AFTER": str(dead_after)})
    await asyncio.gather(
        fleet.start_api(), *(fleet.start(name, "sender", DATABASE_URL=urls.get(name, scene.url)) for name in SENDERS)
    )
    async with scene.under_load(BACKLOG) as load:
        await harm()
    await final_state.settled(scene.database, SETTLE_SECONDS)
    rescued = [await fleet.metric(name, "notifier_rescued_total") for name in SENDERS]
    report = await scene.report(load.acknowledged, rescued=rescued, repeated=dict(load.repeated))
    assert (report.faults, report.flagged, report.unknown_ever) == ({}, [], [])
    assert report.sent == report.submitted
    assert sum(rescued) == 0


@pytest.mark.timeout(size(300, 600))
async def test_crashes(postgres_scene: Scene, durable_server: OwnServer) -> None:
    """PostgreSQL is stopped with `-m immediate` repeatedly, and once for longer than the heartbeat's timeout."""

    async def harm() -> None:
        for seconds in size([4.0], [0.5] * 9 + [60.0]):
            await asyncio.to_thread(durable_server.halt, "immediate")
            await asyncio.sleep(seconds)
            await asyncio.to_thread(durable_server.start)
            await asyncio.sleep(size(0.5, 5.0))

    await _carries_on(postgres_scene, harm)


@pytest.mark.timeout(size(300, 300))
async def test_connections_cut(postgres_scene: Scene) -> None:
    """All connections are terminated at once in the middle of their work."""

    async def harm() -> None:
        for _ in range(size(2, 50)):
            await asyncio.to_thread(execute_statements, postgres_scene.url, CUT)
            await asyncio.sleep(0.5)

    await _carries_on(postgres_scene, harm)


@pytest.mark.timeout(size(300, 300))
async def test_a_database_that_hangs(postgres_scene: Scene, durable_server: OwnServer) -> None:
    """All database processes stop for longer than the heartbeat's timeout, and then continue."""

    async def harm() -> None:
        pids = [durable_server.pid, *list_descendants(durable_server.pid)]
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in pids:
                os.kill(pid, number)
            await asyncio.sleep(size(7.0, 40.0) if number is signal.SIGSTOP else 1.0)

    # Longer than the driver takes to close the connections that it has given up.
    await _carries_on(postgres_scene, harm, dead_after=size(6, 20))


@pytest.mark.timeout(300)
async def test_a_network_that_hangs(postgres_scene: Scene) -> None:
    """The database is unreachable for longer than the heartbeat's timeout, and one sender returns first."""
    async with Wire(postgres_scene.url) as early, Wire(postgres_scene.url) as late:

        async def harm() -> None:
            await asyncio.sleep(DEAD_AFTER)  # both know each other
            with late.held(Held.REQUESTS):
                with early.held(Held.REQUESTS):
                    await asyncio.sleep(1.5 * DEAD_AFTER)
                await asyncio.sleep(0.3)

        await _carries_on(postgres_scene, harm, first=early.url, second=late.url)
