"""Claiming for one process: services share the capacity, new services are noticed, older entries are found again."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from support.manual_clock import ManualClock
from support.plain_handler import PlainHandler
from support.queue_driver import QueueDriver, ids

from notifier.clock import SystemClock
from notifier.ids import generate_id
from notifier.outbox import claimer as claiming
from notifier.outbox import entry_store
from notifier.outbox.claimer import Claimer
from notifier.outbox.entry_handler import ClaimedEntry, NewEntry, ReleaseEntry, Settlement
from notifier.outbox.heartbeat import SenderIdentity
from notifier.outbox.journal import Journal
from notifier.states import EntryKind, Priority


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def claimer(queue: QueueDriver, clock: ManualClock, tmp_path: Path) -> Iterator[Claimer]:
    journal = Journal(tmp_path / "journal", queue.holder)
    holder = SenderIdentity(boot_id=queue.holder, journal=journal, heartbeat=None)
    yield Claimer(queue.database, PlainHandler(), holder=holder, clock=clock)
    journal.close()


async def enqueue(queue: QueueDriver, service: UUID, count: int, *, ago: timedelta = timedelta(0)) -> list[NewEntry]:
    """Insert this many entries of one service, due so long ago by the real clock."""
    due = SystemClock().now() - ago
    new = [
        NewEntry(
            id=generate_id(),
            kind=EntryKind.EMAIL,
            subject_id=generate_id(),
            service_id=service,
            priority=Priority.NORMAL,
            due_at=due,
        )
        for _ in range(count)
    ]
    async with queue.database.write() as connection:
        await entry_store.enqueue_entries(connection, new)
    return new


def inside(claimed: list[ClaimedEntry]) -> dict[UUID, ClaimedEntry]:
    """Return the entries that a process has claimed."""
    return {entry.id: entry for entry in claimed}


async def test_a_long_queue_does_not_delay_another_service(queue: QueueDriver, claimer: Claimer) -> None:
    """With a thousand older entries of one service and ten of another the first claim takes some of both."""
    large, small = generate_id(), generate_id()
    await enqueue(queue, large, 1000, ago=timedelta(hours=1))
    await enqueue(queue, small, 10)
    claimed = Counter(entry.service_id for entry in await claimer.claim(100, {}, []))
    assert claimed[small] == 10
    assert 45 <= claimed[large] <= 80


async def test_a_new_service_is_noticed_beside_a_busy_one(
    queue: QueueDriver, claimer: Claimer, clock: ManualClock
) -> None:
    """While one service is served, a sweep finds the other, and the next claim serves it."""
    busy, new = generate_id(), generate_id()
    await enqueue(queue, busy, 1000)
    held = await claimer.claim(10, {}, [])
    (entry,) = await enqueue(queue, new, 1)
    held += await claimer.claim(10, inside(held), [])
    assert entry.id not in ids(held)
    clock.advance(claiming.SWEEP_SECONDS)
    held += await claimer.claim(10, inside(held), [])
    assert claimer._sweeping is not None
    await claimer._sweeping
    held += await claimer.claim(10, inside(held), [])
    assert entry.id in ids(held)


async def test_a_released_entry_is_found_behind_the_last_claim(queue: QueueDriver, claimer: Claimer) -> None:
    """A claim does not look back to a released entry's due time, but the sweep of an idle process finds it."""
    service = generate_id()
    (old,) = await enqueue(queue, service, 1, ago=timedelta(hours=1))
    (first,) = await claimer.claim(10, {}, [])
    assert first.id == old.id
    await enqueue(queue, service, 1)
    (second,) = await claimer.claim(10, {}, [])
    await queue.settle(Settlement(entry=first, action=ReleaseEntry()))
    assert await claimer.claim(10, inside([second]), []) == []
    assert ids(await claimer.claim(10, {}, [])) == [old.id]


async def test_claimers_never_share_an_entry(queue: QueueDriver, claimer: Claimer, tmp_path: Path) -> None:
    """Two processes that claim the same services at once get different entries, and all of them."""
    for _ in range(3):
        await enqueue(queue, generate_id(), 30)
    journal = Journal(tmp_path / "other", generate_id())
    other = Claimer(
        queue.database,
        PlainHandler(),
        holder=SenderIdentity(boot_id=generate_id(), journal=journal, heartbeat=None),
        clock=ManualClock(),
    )
    claimed: list[ClaimedEntry] = []
    while batch := [
        entry
        for entries in await asyncio.gather(claimer.claim(20, {}, []), other.claim(20, {}, []))
        for entry in entries
    ]:
        claimed += batch
    journal.close()
    assert len(ids(claimed)) == len(set(ids(claimed))) == 90
