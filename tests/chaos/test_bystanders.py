"""B14, B15: a fault of a sender's helpers or of the whole machine is never blamed on a mail."""

import asyncio
import os
import random
import signal
from collections.abc import Iterable
from contextlib import suppress

import pytest
from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.load_generator import Load
from chaos.process_tree import list_descendants
from chaos.relay_script import Pace
from chaos.size import size

from notifier.states import EntryState

BACKLOG = size(60, 150)
SETTINGS = {"SENDER__CONCURRENCY": "8"}
SETTLE_SECONDS = 60
STILL = 1.3  # seconds; longer than a mail may take to render


async def _all_are_sent_once(scene: Scene, acknowledged: dict[str, str]) -> None:
    await final_state.settled(scene.database, SETTLE_SECONDS)
    report = await scene.report(acknowledged)
    assert (report.faults, report.failed, report.unknown_ever, report.flagged) == ({}, 0, [], [])
    assert report.sent == report.submitted


@pytest.mark.timeout(size(300, 300))
async def test_children_killed(postgres_scene: Scene) -> None:
    """Rendering children and the process that starts them are killed at random, and each mail is still sent."""
    fleet = await postgres_scene.begin(Pace(delay=0.05), SETTINGS)
    await fleet.start_all("first")
    chance = random.Random(1)
    async with postgres_scene.under_load(BACKLOG) as load:
        for _ in range(size(2, 60)):
            await asyncio.sleep(chance.uniform(0.2, 1.0))
            if children := sorted(list_descendants(fleet.running("first").pid)):
                _tell([chance.choice(children)], signal.SIGKILL)
    await _all_are_sent_once(postgres_scene, load.acknowledged)


@pytest.mark.timeout(size(300, 300))
async def test_a_machine_that_pauses(postgres_scene: Scene) -> None:
    """When the sender and its children pause, as in a virtual machine, all mails are still sent."""
    fleet = await postgres_scene.begin(Pace(delay=0.05), SETTINGS)
    await fleet.start_all("first")
    chance = random.Random(2)
    async with postgres_scene.under_load(BACKLOG) as load:
        for _ in range(size(2, 40)):
            await asyncio.sleep(chance.uniform(0.1, 0.5))
            pid = fleet.running("first").pid
            pids = [pid, *list_descendants(pid)]
            for number in (signal.SIGSTOP, signal.SIGCONT):
                _tell(pids, number)
                await asyncio.sleep(STILL)
    await _all_are_sent_once(postgres_scene, load.acknowledged)


@pytest.mark.timeout(300)
async def test_children_that_stand_still(postgres_scene: Scene) -> None:
    """When the rendering children pause, as on a busy host, the waiting mail does not fail."""
    fleet = await postgres_scene.begin(Pace(), SETTINGS)
    await fleet.start_all("first")
    load = Load(fleet.api_port, postgres_scene.key)
    children = list_descendants(fleet.running("first").pid)
    _tell(children, signal.SIGSTOP)
    await load.run(iter(["user+1@example.com"]))
    await final_state.some_entry(postgres_scene.database, EntryState.LEASED, 30)
    await asyncio.sleep(STILL)
    _tell(children, signal.SIGCONT)
    await _all_are_sent_once(postgres_scene, load.acknowledged)


def _tell(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
