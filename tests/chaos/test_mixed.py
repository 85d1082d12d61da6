"""All faults of the relay at once, without kills: each mail ends by its own fault and affects no other."""

import asyncio
from collections import Counter
from dataclasses import dataclass

import pytest
from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.load_generator import Load
from chaos.relay_log import Name
from chaos.relay_script import Fault, Pace
from chaos.size import size
from support import api_caller

from notifier.states import Status

OF_EACH = size(3, 40)
PATIENCE = size(90, 400)  # seconds
PACE = Pace(late=size(1.0, 20.0), hang=size(1.0, 150.0))  # in the long form silence outlasts our deadline for DATA
SETTINGS = {"SENDER__CONCURRENCY": size("8", "20"), "SENDER__RESEND_AFTER": "1"}
ANNOUNCED = SETTINGS | {"SENDER__CONCURRENCY": size("12", "40"), "SMTP__MAX_CONNECTIONS": size("4", "10")}
WAYS = {"one by one": SETTINGS, "announced": ANNOUNCED}


@dataclass(frozen=True)
class End:
    """The expected end of a mail."""

    status: Status
    taken: int  # times
    was_unknown: bool = False


ENDS = {fault.value: End(Status.SENT, 1) for fault in Fault} | {
    "user": End(Status.SENT, 1),
    Fault.DROPDOT.value: End(Status.SENT, 2, was_unknown=True),
    Fault.LONE354.value: End(Status.FAILED, 0),
}


@pytest.mark.timeout(size(300, 600))
@pytest.mark.parametrize("way", size(["one by one"], [*WAYS]))
async def test_all_faults_of_the_relay_at_once(postgres_scene: Scene, way: str) -> None:
    """Deferred mails are sent later, dropped ones resent after `unknown`, refused ones fail, the others are sent once.

    A mail's fault does not affect the mail that is announced behind it.
    """
    recipients = [f"{fault}+{n}@example.com" for n in range(OF_EACH) for fault in ENDS]
    fleet = await postgres_scene.begin(PACE, WAYS[way])
    await fleet.start_all("first", "second")
    load = Load(fleet.api_port, postgres_scene.key)
    await load.run(iter(recipients))
    async with asyncio.timeout(PATIENCE):
        while not await final_state.settled(postgres_scene.database, 0.5):
            await api_caller.make_due(postgres_scene.database)  # the schedule of retries is minutes
    report = await postgres_scene.report(load.acknowledged)
    assert report.faults == {}
    log = postgres_scene.relay.log.all()
    taken = Counter(event.recipient for event in log if event.name is Name.TAKEN)
    rows = (await final_state.evidence(postgres_scene.database, load.acknowledged, log)).rows
    ends = {row.recipient: End(row.status, taken[row.recipient], row.uncertain_at is not None) for row in rows}
    assert ends == {recipient: ENDS[recipient.partition("+")[0]] for recipient in recipients}
