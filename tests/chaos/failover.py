"""A failover under load: the harm is done, mail must flow again, and at the end each mail was sent once."""

import time
from collections.abc import Awaitable, Callable

from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.relay_script import Pace
from chaos.size import size

SENDERS = ("first", "second")
SESSIONS = 8  # in flight per sender
IN_FLIGHT = SESSIONS * len(SENDERS)
BACKLOG = size(60, 150)
SETTLE_SECONDS = size(60, 120)
FLOW_SECONDS = 150.0
"""Ten times the time within which mail must flow again."""
SETTINGS = {"SENDER__CONCURRENCY": str(SESSIONS), "SENDER__RESEND_AFTER": "2"}


async def check_failover(scene: Scene, harm: Callable[[], Awaitable[None]]) -> None:
    """After the harm, which ends with a promotion, mail flows again, and at the end each mail was sent once."""
    fleet = await scene.begin(Pace(delay=0.12), SETTINGS)
    await fleet.start_all(*SENDERS)
    async with scene.under_load(BACKLOG) as load:
        before = time.monotonic()
        await harm()
        promoted, taken, submitted = time.monotonic(), scene.taken(), len(load.acknowledged)
        # More mails than were in flight: they need claims and marks of the new primary.
        await scene.until(lambda _: scene.taken() > taken + IN_FLIGHT, seconds=FLOW_SECONDS)
        flows = time.monotonic()
        await scene.until(lambda _: len(load.acknowledged) > submitted + IN_FLIGHT, seconds=FLOW_SECONDS)
    assert await final_state.settled(scene.database, SETTLE_SECONDS)
    report = await scene.report(
        load.acknowledged,
        without_primary=f"{promoted - before:.1f} s",
        mail_flows_after=f"{flows - before:.1f} s, {flows - promoted:.1f} s after the promotion",
        repeated=dict(load.repeated),
    )
    assert (report.faults, report.flagged, report.unknown_ever) == ({}, [], [])
    assert report.sent == report.submitted
