"""B14: our own code fails after a body was permitted, and no mail is sent twice because of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import httpx2
import msgspec
import pytest
from sqlalchemy import text
from support import api_caller
from support.body_permit import build_permit
from support.crashed_sender import CrashedSender
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation

from notifier.delivery.settlement_decision import DeliveryRecord
from notifier.outbox import queue_counts
from notifier.outbox.entry_handler import (
    BodyPermit,
    ClaimedEntry,
    FinishEntry,
    JournalNote,
    RescheduleEntry,
    Settlement,
)
from notifier.runtime import wiring
from notifier.states import EntryState, Status


@dataclass
class Counter:
    """A desk that raises where the test wants it."""

    permit: BodyPermit = field(default_factory=build_permit)
    on_note: Callable[[], object] = str
    settled: list[Settlement] = field(default_factory=list)

    def settle(self, settlement: Settlement) -> None:
        self.settled.append(settlement)

    def mark(self, _entry: ClaimedEntry) -> asyncio.Future[BodyPermit | None]:
        permitted: asyncio.Future[BodyPermit | None] = asyncio.get_running_loop().create_future()
        permitted.set_result(self.permit)
        return permitted

    def note(self, _entry: ClaimedEntry, _note: JournalNote | msgspec.Struct) -> None:
        self.on_note()


@pytest.fixture
async def client(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    async with installation.open_client(parts) as made:
        yield made


async def deliver(parts: wiring.ProcessParts, client: httpx2.AsyncClient, desk: Counter) -> Settlement:
    """Deliver one mail through the deliverer of a sender that claims nothing itself."""
    async with wiring.run_sender(parts) as sender:
        sender.worker.stop()
        await api_caller.submit_mail(client)
        (entry,) = await CrashedSender(parts.database, parts.settings.data_dir / "journal").claim()
        await sender.deliverer.process([msgspec.structs.replace(entry, lease_ends=time.monotonic() + 300)], desk)
    (settlement,) = desk.settled
    return settlement


async def test_a_250_counts_whatever_our_notes_do(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """If recording the relay's 250 raises, the mail is still sent and not deferred."""
    settlement = await deliver(parts, client, Counter(on_note=lambda: 1 / 0))
    assert (len(relay.received), settlement.action, settlement.proof) == (1, FinishEntry(), True)
    assert isinstance(settlement.record, DeliveryRecord)
    assert settlement.record.status_change is not None
    assert settlement.record.status_change.to is Status.SENT


async def test_an_error_of_ours_after_the_permit_is_uncertain(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """If our code raises after the permit, the mail is `unknown` and not deferred."""
    faulty = replace(build_permit(), may_continue=lambda: bool(1 / 0))
    settlement = await deliver(parts, client, Counter(permit=faulty))
    assert isinstance(settlement.action, RescheduleEntry)
    assert isinstance(settlement.record, DeliveryRecord)
    assert settlement.record.status_change is not None
    assert settlement.record.status_change.to is Status.UNKNOWN


async def test_an_end_that_cannot_be_written_is_unknown_and_kept(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """If the attempt cannot be written, the mail is not sent again and waits for a person."""
    async with parts.database.write() as connection:
        await connection.execute(text(_REFUSING[parts.database.is_sqlite]))
    async with wiring.run_sender(parts):
        path = await api_caller.submit_mail(client)
        notification = await api_caller.wait_for_status(client, path, "unknown")
    assert (notification["reason"], notification["next_attempt_at"], len(relay.received)) == ("internal", None, 1)
    async with parts.database.read() as connection:
        assert (await queue_counts.count_by_state(connection))[EntryState.HELD] == 1
    answer = await client.post(f"{path}/resolve", json={"as": "sent"})
    assert answer.json()["status"] == "sent"


_REFUSING = {
    True: "CREATE TRIGGER refuse BEFORE INSERT ON attempt BEGIN SELECT RAISE(ABORT, 'no'); END",
    False: "ALTER TABLE attempt ADD CONSTRAINT refuse CHECK (number < 0)",
}
