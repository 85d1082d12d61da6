"""B14, where it matters most: our own code fails after a body was permitted, and nothing is sent twice for it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import httpx2
import msgspec
import pytest
from parts import caller
from parts.dead import DeadSender
from parts.installation import Installation
from parts.permit import permit
from parts.relay import Relay
from sqlalchemy import text

from notifier import wiring
from notifier.notification.settle import Record
from notifier.outbox import store
from notifier.outbox.handler import Claimed, Finish, Note, Permit, Reschedule, Settlement
from notifier.states import EntryState, Status


@dataclass
class Counter:
    """A desk that fails as it is told to."""

    permit: Permit = field(default_factory=permit)
    on_note: Callable[[], object] = str
    settled: list[Settlement] = field(default_factory=list)

    def settle(self, settlement: Settlement) -> None:
        self.settled.append(settlement)

    def mark(self, _entry: Claimed) -> asyncio.Future[Permit | None]:
        permitted: asyncio.Future[Permit | None] = asyncio.get_running_loop().create_future()
        permitted.set_result(self.permit)
        return permitted

    def note(self, _entry: Claimed, _note: Note | msgspec.Struct) -> None:
        self.on_note()


@pytest.fixture
async def client(installation: Installation, parts: wiring.Base) -> AsyncIterator[httpx2.AsyncClient]:
    async with installation.client(parts) as made:
        yield made


async def deliver(parts: wiring.Base, client: httpx2.AsyncClient, desk: Counter) -> Settlement:
    """One mail through the deliverer of a sender that claims nothing itself."""
    async with wiring.sender(parts) as sender:
        sender.worker.stop()
        await caller.submit(client)
        (entry,) = await DeadSender(parts.database, parts.settings.data_dir / "journal").claim()
        await sender.deliverer.process([msgspec.structs.replace(entry, lease_ends=time.monotonic() + 300)], desk)
    (settlement,) = desk.settled
    return settlement


async def test_a_250_counts_whatever_our_notes_do(parts: wiring.Base, client: httpx2.AsyncClient, relay: Relay) -> None:
    """The relay has said yes, and our own note of it raises: the mail is sent, and not deferred."""
    settlement = await deliver(parts, client, Counter(on_note=lambda: 1 / 0))
    assert (len(relay.received), settlement.action, settlement.proof) == (1, Finish(), True)
    assert isinstance(settlement.record, Record)
    assert settlement.record.move is not None
    assert settlement.record.move.to is Status.SENT


async def test_an_error_of_ours_after_the_permit_is_uncertain(parts: wiring.Base, client: httpx2.AsyncClient) -> None:
    """Our code raises while a body may be under way: nobody knows, so the mail is unknown, and not just deferred."""
    faulty = replace(permit(), may_go_on=lambda: bool(1 / 0))
    settlement = await deliver(parts, client, Counter(permit=faulty))
    assert isinstance(settlement.action, Reschedule)
    assert isinstance(settlement.record, Record)
    assert settlement.record.move is not None
    assert settlement.record.move.to is Status.UNKNOWN


async def test_an_end_that_cannot_be_written_is_unknown_and_kept(
    installation: Installation, parts: wiring.Base, client: httpx2.AsyncClient, relay: Relay
) -> None:
    """The database refuses the attempt's row: the mail is not sent again, says so, and waits for a person."""
    async with parts.database.write() as connection:
        await connection.execute(text(_REFUSING[parts.database.is_sqlite]))
    async with wiring.sender(parts):
        path = await caller.submit(client)
        found = await caller.until(client, path, "unknown")
    assert (found["reason"], found["next_attempt_at"], len(relay.received)) == ("internal", None, 1)
    async with parts.database.read() as connection:
        assert (await store.depth(connection))[EntryState.HELD] == 1
    answer = await client.post(f"{path}/resolve", json={"as": "sent"})
    assert answer.json()["status"] == "sent"


_REFUSING = {
    True: "CREATE TRIGGER refuse BEFORE INSERT ON attempt BEGIN SELECT RAISE(ABORT, 'no'); END",
    False: "ALTER TABLE attempt ADD CONSTRAINT refuse CHECK (number < 0)",
}
