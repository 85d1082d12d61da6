"""C1: API and senders are killed with -9 at random moments under load, and no mail is lost or silently doubled.

Some mails are cancelled during the run, in time or too late (A18).
"""

import asyncio
import random
from dataclasses import dataclass

import pytest
from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.fleet import Fleet
from chaos.oracle import Report
from chaos.relay_script import Pace
from chaos.size import SEED, size

SESSIONS = 8  # in flight per sender
BACKLOG = size(80, 150)  # acknowledged and not yet taken: enough that every kill hits some, few enough to end soon
SETTLE_SECONDS = size(60, 120)
PACE = Pace(delay=0.12)
SETTINGS = {"SENDER__CONCURRENCY": str(SESSIONS), "SENDER__RESEND_AFTER": "2", "SENDER__LEASE": "60"}

# The same in flight, on half as many connections: one mail under way on each, and one announced behind it.
ANNOUNCED = SETTINGS | {"SENDER__CONCURRENCY": str(2 * SESSIONS), "SMTP__MAX_CONNECTIONS": str(SESSIONS // 2)}


@dataclass(frozen=True, kw_only=True)
class Storm:
    """The kills of a run."""

    kills: int
    pause: tuple[float, float]  # seconds between two kills
    min_unknown: int  # with fewer mails between dot and reply the run would prove nothing


async def _rage(fleet: Fleet, storm: Storm, chance: random.Random) -> None:
    """Kill ready processes at random moments, and restart each at once."""
    for _ in range(storm.kills):
        while not fleet.up:  # noqa: ASYNC110 - processes that start announce themselves to their own task only
            await asyncio.sleep(0.01)
        await asyncio.sleep(chance.uniform(*storm.pause))
        victim = chance.choice(fleet.up)
        await fleet.kill(victim)
        fleet.revive(victim)


async def survive(scene: Scene, storm: Storm) -> Report:
    """Run the storm under load, wait for the end, and judge the result."""
    async with scene.under_load(BACKLOG, seed=SEED, cancels=0.1) as load:
        await _rage(scene.fleet, storm, random.Random(SEED))
        await scene.fleet.revived()
    await final_state.settled(scene.database, SETTLE_SECONDS)
    senders = sum(member.kills for name, member in scene.fleet.members.items() if name != "api")
    report = await scene.report(
        load.acknowledged,
        cancelled=load.cancelled,
        seed=SEED,
        kills=storm.kills,
        of_senders=senders,
        repeated=dict(load.repeated),
    )
    assert (report.faults, report.failed) == ({}, 0)
    assert storm.min_unknown <= len(report.unknown_ever) <= SESSIONS * senders
    assert await scene.fleet.left_behind() == set()
    return report


@pytest.mark.timeout(size(300, 1200))
async def test_kills_on_postgresql(postgres_scene: Scene) -> None:
    """With one API and two senders killed repeatedly, nothing is lost, stuck, or sent twice without `unknown`."""
    fleet = await postgres_scene.begin(PACE, SETTINGS)
    await fleet.start_all("first", "second")
    await survive(postgres_scene, Storm(kills=size(4, 200), pause=(0.3, 2.0), min_unknown=size(0, 50)))


@pytest.mark.timeout(size(300, 1200))
async def test_kills_while_mails_are_announced(postgres_scene: Scene) -> None:
    """A killed sender leaves at most two mails `unknown` for each connection."""
    fleet = await postgres_scene.begin(PACE, ANNOUNCED)
    await fleet.start_all("first", "second")
    await survive(postgres_scene, Storm(kills=size(2, 100), pause=(0.3, 2.0), min_unknown=size(0, 25)))


@pytest.mark.timeout(size(300, 600))
async def test_kills_on_sqlite(sqlite_scene: Scene) -> None:
    """With `serve` (API and sender in one) killed repeatedly, nothing is lost, stuck or doubled without `unknown`."""
    fleet = await sqlite_scene.begin(PACE, SETTINGS)
    await fleet.start_api("serve", "serve")
    await survive(sqlite_scene, Storm(kills=size(2, 50), pause=(0.3, 2.5), min_unknown=size(0, 20)))
