"""All faults at once: killed processes, a crashing PostgreSQL, and a relay with all its faults."""

import asyncio
import random

import pytest
from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.relay_script import Fault, Pace
from chaos.size import SEED, size
from support import api_caller
from support.postgres_cluster import OwnServer

SESSIONS = 8
BACKLOG = size(60, 100)
SETTLE_SECONDS = size(90, 180)
SETTINGS = {"SENDER__CONCURRENCY": str(SESSIONS), "SENDER__RESEND_AFTER": "2", "SENDER__LEASE": "60"}
# Half as many connections, with a mail announced behind the one under way: as many in flight.
ANNOUNCED = SETTINGS | {"SENDER__CONCURRENCY": str(2 * SESSIONS), "SMTP__MAX_CONNECTIONS": str(SESSIONS // 2)}
WAYS = {"one by one": SETTINGS, "announced": ANNOUNCED}
FAULTS = ("user", "user", "user", Fault.SLOW, Fault.LATE, Fault.LATEDATA, Fault.DROPDOT, Fault.DRIP, Fault.GARBAGE)
PACE = Pace(delay=0.05, late=0.5, drip=0.01)


async def _crash(server: OwnServer, chance: random.Random) -> None:
    """Stop PostgreSQL for a moment."""
    await asyncio.to_thread(server.halt, "immediate")
    await asyncio.sleep(chance.uniform(0, 1.5))
    await asyncio.to_thread(server.start)


@pytest.mark.timeout(size(300, 900))
@pytest.mark.parametrize("way", size(["announced"], [*WAYS]))
async def test_everything_at_once(postgres_scene: Scene, durable_server: OwnServer, way: str) -> None:
    """Nothing is lost, stuck, or sent twice without `unknown`, and only cut or dropped mails are `unknown`."""
    fleet = await postgres_scene.begin(PACE, WAYS[way])
    await fleet.start_all("first", "second")
    chance = random.Random(SEED)
    async with postgres_scene.under_load(BACKLOG, seed=SEED, faults=FAULTS, cancels=0.1) as load:
        for number in range(size(3, 80)):
            await asyncio.sleep(chance.uniform(0.3, 2.0))
            if number % 4 == 1:
                await _crash(durable_server, chance)
            if fleet.up:
                victim = chance.choice(fleet.up)
                await fleet.kill(victim)
                fleet.revive(victim)
        await fleet.revived()
    async with asyncio.timeout(SETTLE_SECONDS):
        while not await final_state.settled(postgres_scene.database, 0.5):
            await api_caller.make_due(postgres_scene.database)  # the schedule of retries is minutes
    kills = sum(member.kills for name, member in fleet.members.items() if name != "api")
    report = await postgres_scene.report(
        load.acknowledged, cancelled=load.cancelled, seed=SEED, sender_kills=kills, repeated=dict(load.repeated)
    )
    assert (report.faults, report.failed) == ({}, 0)
    cut = [recipient for recipient in report.unknown_ever if not recipient.startswith(f"{Fault.DROPDOT}+")]
    assert len(cut) <= SESSIONS * kills
