"""Three machines with senders and one with database and relay: one is cut off for a while, one loses its power.

`NOTIFIER_CHAOS=long` sends 30,000 mails with six senders, and cuts the machine off for a minute.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.fleet import Fleet
from chaos.load_generator import fill
from chaos.relay_log import Event, Name
from chaos.relay_script import Pace
from chaos.size import LONG, size
from sqlalchemy import func, make_url, select
from support.network_machines import SUBNET, Network, start_on
from support.polling import poll_until, wait_until
from support.postgres_cluster import OwnServer

from notifier.db.engine import Database
from notifier.db.tables import OutboxEntry, SenderProcess, get_columns
from notifier.states import EntryState

TESTS = Path(__file__).parents[1]
STEADY, CUT, DEAD = MACHINES = ("steady", "cut", "dead")
SENDERS = size(1, 2)  # per machine
SESSIONS = 8
MAILS = size(700, 30_000)
BEFORE = size(40, 4_000)  # mails that the relay has taken before the faults
DEAD_AFTER = size(4, 30)
CUT_SECONDS = size(10, 60)
RESCUE_SECONDS = 200.0
SETTLE_SECONDS = size(100, 600)
SETTINGS = {
    "SENDER__CONCURRENCY": str(SESSIONS),
    "SENDER__DEAD_AFTER": str(DEAD_AFTER),
    "SENDER__RESEND_AFTER": size("2", "90"),
    "SMTP__SECURITY": "none",
}
PACE = Pace(delay=size(0.3, 0.12))
_entry, _process = get_columns(OutboxEntry), get_columns(SenderProcess)


@pytest.fixture
def network(durable_server: OwnServer) -> Iterator[Network]:
    """The machines; the server of the tests runs on the hub meanwhile."""
    with Network(*MACHINES) as network:
        durable_server.halt("fast")
        try:
            with network.hub.entered():
                durable_server.start_on(network.hub.address, SUBNET)
            yield network
        finally:
            if durable_server.is_running:
                durable_server.halt("fast")
            durable_server.start()


@pytest.fixture
async def fleet(network: Network, postgres_scene: Scene) -> AsyncIterator[Fleet]:
    """An empty fleet that reaches database and relay at the address of the hub."""
    address = network.hub.address
    url = make_url(postgres_scene.url).set(host=address, port=5432, query={})
    urls = {"DATABASE_URL": url.render_as_string(hide_password=False), "SMTP__HOST": address}
    yield await postgres_scene.begin(PACE, SETTINGS | urls, machine=network.hub)
    network.mend(CUT)  # so that its senders can end in order, also after a failure


@dataclass(frozen=True, kw_only=True)
class Holders:
    """The senders of one machine, as the database knows them."""

    database: Database
    ids: Sequence[UUID]

    async def count_leases(self) -> int:
        """Count the entries that they hold."""
        held = _entry.state == EntryState.LEASED, _entry.leased_by.in_(self.ids)
        async with self.database.read() as connection:
            return int((await connection.execute(select(func.count()).where(*held))).scalar_one())

    async def measure_rescue(self, since: float) -> float:
        """Wait until they hold nothing; return how many seconds that was after `since`, in monotonic seconds."""
        async with asyncio.timeout(RESCUE_SECONDS):
            while await self.count_leases():  # noqa: ASYNC110 - another process rescues them
                await asyncio.sleep(final_state.LOOK)
        return time.monotonic() - since


async def _start_senders(fleet: Fleet, network: Network) -> None:
    """Start the senders of all machines, each machine with a data directory of its own."""
    places = [(network[name], number) for name in MACHINES for number in range(SENDERS)]
    starts = (
        fleet.start(f"{machine.name}-{number}", "sender", machine=machine, DATA_DIR=str(fleet.folder / machine.name))
        for machine, number in places
    )
    await asyncio.gather(*starts)


async def _wait_for_holders(database: Database) -> dict[str, Holders]:
    """Wait until the senders of all machines hold entries."""

    async def find_holders() -> dict[str, Holders] | None:
        async with database.read() as connection:
            rows = (await connection.execute(select(_process.host, _process.id))).all()
        ids = {name: [row.id for row in rows if row.host == name] for name in MACHINES}
        holders = {name: Holders(database=database, ids=ids[name]) for name in MACHINES}
        is_complete = all(len(ids[name]) == SENDERS for name in MACHINES)
        return holders if is_complete and all([await each.count_leases() for each in holders.values()]) else None

    return await poll_until(find_holders)


@contextmanager
def _unfinished_settlement(fleet: Fleet, network: Network) -> Iterator[UUID]:
    """Run one more sender on the dead machine, which is settling some entries until the machine dies; its id."""
    command = [sys.executable, "-m", "chaos.open_transaction", fleet.settings["DATABASE_URL"]]
    env = os.environ | {"PYTHONPATH": os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", "")))}
    run = partial(subprocess.Popen, command, env=env, stdout=subprocess.PIPE, text=True)
    with start_on(network[DEAD], run) as running:
        try:
            assert running.stdout is not None
            yield UUID(running.stdout.readline().strip())
        finally:
            running.kill()


def _list_events_of(events: Sequence[Event], machine: str) -> list[Event]:
    return [event for event in events if event.helo.startswith(f"{machine}-")]


async def _send_from_the_returned(scene: Scene) -> dict[str, str]:
    """Let the machine that was cut off send some mails alone; return their ids with their recipients."""
    assert await final_state.settled(scene.database, SETTLE_SECONDS)
    for number in range(SENDERS):
        assert await scene.fleet.stop(f"{STEADY}-{number}") == 0
    seen = len(scene.relay.log.all())
    acknowledged = await fill(scene.url, scene.key, (f"late+{n}@example.com" for n in range(2 * SESSIONS)))
    assert await final_state.settled(scene.database, SETTLE_SECONDS)
    late = scene.relay.log.all()[seen:]
    assert _list_events_of(late, CUT) == late
    return acknowledged


@pytest.mark.timeout(size(600, 1800))
async def test_one_is_cut_off_and_one_loses_its_power(fleet: Fleet, network: Network, postgres_scene: Scene) -> None:
    """Nothing is lost, stuck or doubled without `unknown`, and no body is begun again that was not `unknown`."""
    scene = postgres_scene
    await _start_senders(fleet, network)
    acknowledged = await fill(scene.url, scene.key, (f"user+{n}@example.com" for n in range(MAILS)))
    await wait_until(
        lambda: scene.taken() >= BEFORE and all(_list_events_of(scene.relay.log.seen, name) for name in MACHINES)
    )
    holders = await _wait_for_holders(scene.database)
    with _unfinished_settlement(fleet, network) if LONG else nullcontext() as settling:
        holders[DEAD] = replace(holders[DEAD], ids=[*holders[DEAD].ids, *([settling] if settling else [])])
        for name in (CUT, DEAD):
            network.cut(name)
        began = time.monotonic()
        await asyncio.to_thread(network[DEAD].kill)
    held = {name: await holders[name].count_leases() for name in (CUT, DEAD)}
    rescued = await asyncio.gather(*(holders[name].measure_rescue(began) for name in (CUT, DEAD)))
    after_rescue = len(scene.relay.log.all())
    await asyncio.sleep(max(CUT_SECONDS - (time.monotonic() - began), 0))
    before = [*scene.relay.log.all()]
    network.mend(CUT)
    acknowledged |= await _send_from_the_returned(scene)
    report = await scene.report(
        acknowledged, held=held, rescued_after=[f"{seconds:.1f} s" for seconds in rescued], seconds_cut_off=CUT_SECONDS
    )
    assert (report.faults, report.failed) == ({}, 0)
    assert len(report.unknown_ever) <= sum(held.values())
    after = scene.relay.log.all()[len(before) :]
    assert _list_events_of([*before[after_rescue:], *after], DEAD) == _list_events_of(before[after_rescue:], CUT) == []
    begun = Counter(event.recipient for event in [*before, *after] if event.name is Name.BEGIN)
    assert {recipient for recipient, bodies in begun.items() if bodies > 1} <= set(report.unknown_ever)
