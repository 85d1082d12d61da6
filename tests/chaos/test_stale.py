"""C3: a silent or paused sender that others consider dead, and that continues later."""

import asyncio
import random
import signal
from contextlib import ExitStack

import pytest
from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.held_connection import Held, Wire
from chaos.load_generator import Load
from chaos.relay_log import Name
from chaos.relay_script import Pace
from chaos.size import SEED, size

DEAD_AFTER = 3.0  # seconds
LATE = 7.0  # until the 354: longer than `dead_after`, and shorter than a permit lasts
OLD_PERMIT = 0
"""The connection with the old permit, which is the relay's first. On a busy host several may follow before the body."""
SETTLE_SECONDS = 60
MARK = b"SET marked_at"
SETTINGS = {
    "SENDER__CONCURRENCY": "8",
    "SENDER__RESEND_AFTER": "1",
    "SENDER__DEAD_AFTER": str(DEAD_AFTER),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("permitted", size([True], [False, True]))
async def test_a_permit_from_before_a_silence_permits_nothing(postgres_scene: Scene, *, permitted: bool) -> None:
    """A permit from before a silence in which another sender rescued the mail does not allow a body.

    The relay's 354 comes after that, and within the ten seconds for which the permit was valid.
    """
    fleet = await postgres_scene.begin(Pace(late=LATE), SETTINGS)
    await fleet.start_api()
    async with Wire(postgres_scene.url) as wire:
        await fleet.start_senders("other")
        fleet.running("other").send(signal.SIGSTOP)  # the mail is for the other one
        await fleet.start("stale", "sender", DATABASE_URL=wire.url)
        load = Load(fleet.api_port, postgres_scene.key)
        loop = asyncio.get_running_loop()
        with ExitStack() as silence:
            if not permitted:  # the request for its mark is still on the way
                asking = silence.enter_context(wire.held(Held.REQUESTS, since=MARK))
            await load.run(iter(["latedata+1@example.com"]))
            if permitted:
                await final_state.some_mark(postgres_scene.database, 30)
                silence.enter_context(wire.held(Held.REQUESTS))
            else:
                async with asyncio.timeout(30):
                    await asking.wait()
            started = loop.time()
            fleet.running("other").send(signal.SIGCONT)
            async with asyncio.timeout(SETTLE_SECONDS):
                while await fleet.metric("other", "notifier_rescued_total") < 1:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
        await final_state.settled(postgres_scene.database, SETTLE_SECONDS)
        await asyncio.sleep(LATE + 1.0 - (loop.time() - started))
        report = await postgres_scene.report(load.acknowledged, permitted=permitted)
        begun = [event.connection for event in postgres_scene.relay.log.all() if event.name is Name.BEGIN]
        assert OLD_PERMIT not in begun
        assert (len(begun), report.faults, report.sent) == (1, {}, 1)
        assert await fleet.stop("stale") == 0


@pytest.mark.timeout(size(300, 600))
@pytest.mark.parametrize("silence", size([Held.COMMITS], ["stopped", *Held]))
async def test_silences_under_load(postgres_scene: Scene, silence: str) -> None:
    """One of two senders is silent at random for longer than the heartbeat's timeout; no mail is lost or doubled."""
    fleet = await postgres_scene.begin(Pace(delay=0.12), SETTINGS)
    await fleet.start_api()
    chance = random.Random(SEED)
    async with Wire(postgres_scene.url) as wire:
        await fleet.start("stale", "sender", DATABASE_URL=wire.url)
        await fleet.start_senders("other")
        async with postgres_scene.under_load(size(60, 100), seed=SEED) as load:
            for _ in range(size(1, 15)):
                await asyncio.sleep(DEAD_AFTER + chance.uniform(0, 1))  # both must first be able to judge the other
                pause = DEAD_AFTER * chance.uniform(1.0, 2.0)
                if silence == "stopped":
                    fleet.running("stale").send(signal.SIGSTOP)
                    await asyncio.sleep(pause)
                    fleet.running("stale").send(signal.SIGCONT)
                else:
                    with wire.held(Held(silence)):
                        await asyncio.sleep(pause)
        await final_state.settled(postgres_scene.database, SETTLE_SECONDS)
        rescued = await fleet.metric("other", "notifier_rescued_total")
        report = await postgres_scene.report(load.acknowledged, silence=silence, seed=SEED, rescued=rescued)
        assert (report.faults, report.failed) == ({}, 0)
        assert await fleet.stop("stale") == 0
