"""Without faults, an API and two senders on PostgreSQL send every mail exactly once and stop cleanly."""

import pytest
from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.load_generator import Load
from chaos.relay_script import Pace
from chaos.size import size

MAILS = size(300, 5000)
CALLERS = 16
SENDERS = ("first", "second")


@pytest.mark.timeout(size(300, 300))
async def test_two_senders_send_every_mail_exactly_once(postgres_scene: Scene) -> None:
    """Each POST is one distinct (Message-ID, recipient) pair and one sent row, and both senders exit with 0."""
    fleet = await postgres_scene.begin(Pace(), {}, measured=True)
    await fleet.start_all(*SENDERS)
    load = Load(fleet.api_port, postgres_scene.key)
    await load.run((f"user+{n}@example.com" for n in range(MAILS)), callers=CALLERS)
    await final_state.settled(postgres_scene.database, 120)
    errors = fleet.errors()
    assert [await fleet.stop(name) for name in SENDERS] == [0, 0]
    report = await postgres_scene.report(load.acknowledged, repeated=dict(load.repeated))
    assert (report.faults, report.sent, report.unknown_ever, report.flagged) == ({}, MAILS, [], [])
    assert (dict(load.repeated), errors) == ({}, "")
