"""C6: a whole fleet of senders empties one queue, and every mail is sent exactly once."""

import time

import pytest
from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.load_generator import fill
from chaos.relay_script import Pace
from chaos.size import size

SENDERS = tuple(f"sender{n}" for n in range(size(4, 16)))
MAILS = size(1000, 100_000)
MAX_SECONDS = size(60, 1500)
SETTINGS = {"SENDER__CONCURRENCY": "8"}


@pytest.mark.timeout(2 * MAX_SECONDS)
async def test_a_fleet_sends_each_mail_exactly_once(postgres_scene: Scene) -> None:
    """All rows are queued before the first claim, so that the senders compete for every batch."""
    recipients = (f"user+{n}@example.com" for n in range(MAILS))
    acknowledged = await fill(postgres_scene.url, postgres_scene.key, recipients)
    fleet = await postgres_scene.begin(Pace(), SETTINGS)
    started = time.monotonic()
    await fleet.start_senders(*SENDERS)
    await final_state.settled(postgres_scene.database, MAX_SECONDS)
    seconds = time.monotonic() - started
    claimed = [await fleet.metric(name, "notifier_claimed_total") for name in SENDERS]
    report = await postgres_scene.report(
        acknowledged, seconds=f"{seconds:.1f}", per_second=f"{MAILS / seconds:,.0f}", claimed=claimed
    )
    assert report.faults == {}
    assert (report.sent, report.unknown_ever, report.flagged) == (MAILS, [], [])
    assert sum(count > 0 for count in claimed) > 1
