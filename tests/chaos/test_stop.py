"""C2, C3: a sender that gets SIGTERM finishes what it began, and one that is paused does no harm."""

import asyncio
import signal
from collections.abc import Sequence

import pytest
from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.load_generator import Load
from chaos.relay_log import Event, Name
from chaos.relay_script import Pace
from chaos.size import size

from notifier.states import Status

SESSIONS = 8
DEAD_AFTER = size(4, 30)  # seconds
PATIENCE = DEAD_AFTER + 180
WAKING = size(2.0, 15.0)  # seconds in which a resumed sender could do harm
SETTINGS = {
    "SENDER__CONCURRENCY": str(SESSIONS),
    "SENDER__LEASE": str(DEAD_AFTER),
    "SENDER__DEAD_AFTER": str(DEAD_AFTER),
}


async def _submit(scene: Scene, *recipients: str) -> Load:
    load = Load(scene.fleet.api_port, scene.key)
    await load.run(iter(recipients))
    return load


def _named(fault: str, count: int) -> list[str]:
    return [f"{fault}+{n}@example.com" for n in range(count)]


def _by(events: Sequence[Event], name: Name, helo: str) -> list[Event]:
    return [event for event in events if event.name is name and event.helo == f"{helo}.example"]


@pytest.mark.timeout(size(300, 300))
async def test_a_stopped_sender_begins_no_body_after_its_rescue(postgres_scene: Scene) -> None:
    """A sender paused before the body or the 250, whose mail another resends, sends no body, but its 250 counts."""
    late = DEAD_AFTER / 2  # the replies come while it is stopped
    fleet = await postgres_scene.begin(Pace(late=late), SETTINGS | {"SENDER__RESEND_AFTER": "1"})
    await fleet.start_all("stale")
    load = await _submit(postgres_scene, *_named("latedata", 4), *_named("late", 4))
    await postgres_scene.until(lambda events: len(_by(events, Name.TAKEN, "stale")) == 4)
    fleet.running("stale").send(signal.SIGSTOP)
    others = await _submit(postgres_scene, *_named("user", 40))
    begun = len(_by(postgres_scene.relay.log.all(), Name.BEGIN, "stale"))
    await fleet.start("other", "sender")
    assert await final_state.settled(postgres_scene.database, PATIENCE)
    fleet.running("stale").send(signal.SIGCONT)
    await asyncio.sleep(WAKING)
    report = await postgres_scene.report(
        load.acknowledged | others.acknowledged,
        leases_lost=await fleet.metric("stale", "notifier_leases_lost_total"),
    )
    assert len(_by(postgres_scene.relay.log.all(), Name.BEGIN, "stale")) == begun
    assert report.faults == {}
    assert report.sent == 48
    assert {*_named("late", 4)} <= {*report.unknown_ever} <= {*_named("late", 4), *_named("latedata", 4)}
    assert await fleet.metric("stale", "notifier_leases_lost_total") >= 1


@pytest.mark.timeout(size(300, 300))
async def test_a_stopped_sender_changes_a_status_by_proof_only(postgres_scene: Scene) -> None:
    """A 250 that it reads after SIGCONT turns `unknown` into `sent` before the mail is resent."""
    fleet = await postgres_scene.begin(Pace(late=DEAD_AFTER / 2), SETTINGS | {"SENDER__RESEND_AFTER": "600"})
    await fleet.start_all("stale")
    load = await _submit(postgres_scene, *_named("late", SESSIONS))
    await postgres_scene.until(lambda events: len(_by(events, Name.TAKEN, "stale")) == SESSIONS)
    fleet.running("stale").send(signal.SIGSTOP)
    await fleet.start("other", "sender")
    await final_state.doubted(postgres_scene.database, SESSIONS, PATIENCE)
    before = await postgres_scene.verdict(load.acknowledged)
    assert len(before.unknown_now) == SESSIONS
    fleet.running("stale").send(signal.SIGCONT)
    assert await final_state.settled(postgres_scene.database, PATIENCE)
    report = await postgres_scene.report(load.acknowledged)
    assert report.faults == {}
    assert (report.sent, report.flagged) == (SESSIONS, [])


async def test_a_sender_that_is_told_to_stop_finishes_what_it_began(postgres_scene: Scene) -> None:
    """After SIGTERM mails in flight end as `sent`, the rest stays for the next sender, and nothing is `unknown`."""
    fleet = await postgres_scene.begin(Pace(late=1.0), SETTINGS)
    await fleet.start_all("first")
    load = await _submit(postgres_scene, *_named("late", 2 * SESSIONS))
    await postgres_scene.until(lambda events: len(_by(events, Name.TAKEN, "first")) == SESSIONS)
    assert await fleet.stop("first") == 0
    taken = _by(postgres_scene.relay.log.all(), Name.TAKEN, "first")
    between = await final_state.evidence(postgres_scene.database, load.acknowledged, postgres_scene.relay.log.seen)
    ended = {row.pair for row in between.rows if row.status is Status.SENT}
    assert ended == {event.pair for event in taken}
    assert {row.status for row in between.rows} == {Status.SENT, Status.QUEUED}
    await fleet.start_senders("second")
    assert await final_state.settled(postgres_scene.database, PATIENCE)
    report = await postgres_scene.report(load.acknowledged)
    assert (report.faults, report.unknown_ever, report.flagged) == ({}, [], [])
