"""C1: replies that a killed sender had read, or had not read, while the database was away."""

import asyncio
from collections.abc import Sequence

import pytest
from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.load_generator import Load
from chaos.oracle import Report
from chaos.relay_log import Event, Name
from chaos.relay_script import Pace
from support.postgres_cluster import OwnServer

MAILS = 8
LATE = 1.0  # seconds from the dot to the reply
READING = 0.3  # seconds in which a sender surely reads a reply
SETTINGS = {"SENDER__CONCURRENCY": str(MAILS), "SENDER__RESEND_AFTER": "1"}


def _count(events: Sequence[Event], name: Name) -> int:
    return sum(event.name is name for event in events)


async def _killed_without_a_database(scene: Scene, server: OwnServer, *, after: Name) -> Report:
    """Stop the database when every mail is received, and kill the sender before or after the replies."""
    fleet = await scene.begin(Pace(late=LATE), SETTINGS)
    await fleet.start_all("first")
    load = Load(fleet.api_port, scene.key)
    await load.run(f"late+{n}@example.com" for n in range(MAILS))
    await scene.until(lambda events: _count(events, Name.TAKEN) == MAILS)
    await asyncio.to_thread(server.halt, "immediate")
    await scene.until(lambda events: _count(events, after) == MAILS)
    if after is Name.TOLD:
        await asyncio.sleep(READING)
    await fleet.kill("first")
    await asyncio.to_thread(server.start)
    fleet.revive("first")
    await fleet.revived()
    await final_state.settled(scene.database, 60)
    return await scene.report(load.acknowledged)


@pytest.mark.timeout(300)
async def test_a_reply_that_was_read_is_never_forgotten(postgres_scene: Scene, durable_server: OwnServer) -> None:
    """A sender killed after the 250 without a database: the mail is `sent`, never `unknown`, and not sent again."""
    report = await _killed_without_a_database(postgres_scene, durable_server, after=Name.TOLD)
    assert (report.faults, report.sent) == ({}, MAILS)
    assert (report.unknown_ever, report.flagged) == ([], [])


@pytest.mark.timeout(300)
async def test_a_reply_that_nobody_read_makes_unknown(postgres_scene: Scene, durable_server: OwnServer) -> None:
    """A sender killed between the dot and the 250: the mail is `unknown` first, and then sent once more."""
    report = await _killed_without_a_database(postgres_scene, durable_server, after=Name.TAKEN)
    assert (report.faults, report.sent) == ({}, MAILS)
    assert (len(report.unknown_ever), len(report.flagged)) == (MAILS, MAILS)
