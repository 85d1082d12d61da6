"""The conformance suite of the queue: the same functions and results on SQLite and PostgreSQL."""

import asyncio
from collections import Counter
from datetime import timedelta

from support.queue_driver import ALL, LEASE, OVERRUN, START, QueueDriver, claim_of, ids

from notifier.outbox import claim_sql, entry_store, queue_counts
from notifier.outbox.entry_handler import HoldEntry, ReleaseEntry, RescheduleEntry, Settlement
from notifier.states import EntryKind, EntryState, Priority


async def test_claim_takes_due_entries_oldest_first(queue: QueueDriver) -> None:
    """Entries are claimed in the order of their due times, and not earlier."""
    second = await queue.enqueue(due=timedelta(seconds=2))
    first = await queue.enqueue(due=timedelta(seconds=1))
    await queue.enqueue(due=timedelta(hours=1))
    assert await queue.claim() == []
    queue.later(seconds=10)
    assert ids(await queue.claim()) == ids([first, second])


async def test_claim_leases_under_a_raised_fence(queue: QueueDriver) -> None:
    """A claim leases the entry to its holder, raises the fence and remembers when it was due."""
    entry = await queue.enqueue()
    queue.later(seconds=30)
    (claimed,) = await queue.claim()
    assert (claimed.lease_no, claimed.due_at, claimed.subject_id) == (1, START, entry.subject_id)
    row = await queue.row(entry.id)
    assert row is not None
    assert (row.state, row.leased_by, row.due_at) == (EntryState.LEASED, queue.holder, queue.now + LEASE)


async def test_a_leased_entry_is_not_claimed_even_when_its_lease_is_over(queue: QueueDriver) -> None:
    """Rule 1: an entry whose lease has expired is rescued, never claimed."""
    await queue.enqueue()
    await queue.claim()
    queue.later(hours=1)
    assert await queue.claim() == []
    assert await queue.rescue() == 1
    assert len(await queue.claim()) == 1


async def test_rescue_leaves_live_leases_alone_and_keeps_the_fence(queue: QueueDriver) -> None:
    """Only an expired lease is rescued; its entry is due now, counted as lost, with an unchanged fence."""
    entry = await queue.enqueue()
    await queue.claim()
    queue.later(minutes=4, seconds=59)
    assert await queue.rescue() == 0
    queue.later(seconds=1)
    assert await queue.rescue() == 1
    row = await queue.row(entry.id)
    assert row is not None
    assert (row.state, row.lease_no, row.lost, row.due_at) == (EntryState.READY, 1, 1, queue.now)


async def test_rescue_at_start_takes_every_lease(queue: QueueDriver) -> None:
    """On SQLite each lease that is there at start belongs to a dead process, because of the directory's lock."""
    await queue.enqueue()
    await queue.claim()
    assert await queue.rescue(ALL) == 1


async def test_finish_deletes_the_entry(queue: QueueDriver) -> None:
    """A finished entry is gone."""
    entry = await queue.enqueue()
    assert len(await queue.finish(*await queue.claim())) == 1
    assert await queue.row(entry.id) is None


async def test_a_late_settle_of_a_rescued_lease_counts(queue: QueueDriver) -> None:
    """Rule 4: a settle with an equal fence counts in any state."""
    entry = await queue.enqueue()
    claimed = await queue.claim()
    queue.later(hours=1)
    await queue.rescue()
    assert len(await queue.finish(*claimed)) == 1
    assert await queue.row(entry.id) is None


async def test_a_settle_under_an_old_fence_changes_nothing(queue: QueueDriver) -> None:
    """A settle by a holder that has lost its lease to another changes nothing, with any action."""
    entry = await queue.enqueue()
    (stale,) = await queue.claim()
    queue.later(hours=1)
    await queue.rescue()
    (current,) = await queue.claim()
    for action in (ReleaseEntry(), HoldEntry(), RescheduleEntry(delay=timedelta(0), attempts=9)):
        assert await queue.settle(Settlement(entry=stale, action=action)) == []
    assert await queue.finish(stale) == []
    row = await queue.row(entry.id)
    assert row is not None
    assert (row.state, row.lease_no, row.attempts) == (EntryState.LEASED, current.lease_no, 0)


async def test_reschedule_is_due_later_and_keeps_the_counters(queue: QueueDriver) -> None:
    """A rescheduled entry waits for its delay and carries its counters into the next claim."""
    await queue.enqueue()
    (claimed,) = await queue.claim()
    again = RescheduleEntry(delay=timedelta(minutes=5), attempts=3, faults=2, fault="ValueError@here:1")
    await queue.settle(Settlement(entry=claimed, action=again))
    queue.later(minutes=4, seconds=59)
    assert await queue.claim() == []
    queue.later(seconds=1)
    (claimed,) = await queue.claim()
    assert (claimed.attempts, claimed.faults, claimed.fault, claimed.lease_no) == (3, 2, "ValueError@here:1", 2)


async def test_release_uses_up_no_attempt(queue: QueueDriver) -> None:
    """A released entry keeps its due time and its counters."""
    entry = await queue.enqueue()
    queue.later(seconds=30)
    (claimed,) = await queue.claim()
    await queue.settle(Settlement(entry=claimed, action=ReleaseEntry()))
    row = await queue.row(entry.id)
    assert row is not None
    assert (row.state, row.due_at, row.attempts, row.lost, row.leased_by) == (EntryState.READY, START, 0, 0, None)


async def test_a_held_entry_is_in_no_claim(queue: QueueDriver) -> None:
    """A held entry is not claimed."""
    await queue.enqueue()
    (claimed,) = await queue.claim()
    await queue.settle(Settlement(entry=claimed, action=HoldEntry()))
    queue.later(days=30)
    assert await queue.rescue() == 0
    assert await queue.claim() == []
    assert (await queue.states())[EntryState.HELD] == 1


async def test_settle_takes_a_mixed_batch(queue: QueueDriver) -> None:
    """Finished, rescheduled and released entries settle together."""
    for _ in range(3):
        await queue.enqueue()
    done, later, back = await queue.claim()
    held = await queue.settle(
        Settlement(entry=done, action=ReleaseEntry()),
        Settlement(entry=later, action=RescheduleEntry(delay=timedelta(hours=1), attempts=1)),
        Settlement(entry=back, action=HoldEntry()),
    )
    assert [s.entry.id for s in held] == [done.id, later.id, back.id]
    assert await queue.states() == {EntryState.READY: 2, EntryState.LEASED: 0, EntryState.HELD: 1}


async def test_claim_respects_capacity_and_shares(queue: QueueDriver) -> None:
    """No claim takes more than its capacity, or more of a priority than its share."""
    for _ in range(6):
        await queue.enqueue(priority=Priority.BULK)
        await queue.enqueue(priority=Priority.NORMAL)
    claimed = await queue.claim(10, bulk=2, normal=3)
    assert Counter(entry.priority for entry in claimed) == {Priority.BULK: 2, Priority.NORMAL: 3}
    assert len(await queue.claim(4)) == 4


async def test_high_comes_first_and_each_priority_has_a_reserve(queue: QueueDriver) -> None:
    """The highest priority is claimed first, after each waiting priority has got its reserve."""
    for priority in (Priority.BULK, Priority.NORMAL, Priority.HIGH):
        for _ in range(20):
            await queue.enqueue(priority=priority)
    claimed = await queue.claim(10)
    assert Counter(entry.priority for entry in claimed) == {Priority.HIGH: 8, Priority.NORMAL: 1, Priority.BULK: 1}


async def test_concurrent_claims_share_the_work(queue: QueueDriver) -> None:
    """Concurrent claims never get the same entry."""
    for _ in range(40):
        await queue.enqueue()
    batches = await asyncio.gather(*(queue.claim(7) for _ in range(8)))
    claimed = [entry.id for batch in batches for entry in batch]
    assert len(claimed) == len(set(claimed))
    rest = await queue.claim(40)
    assert len(claimed) + len(rest) == 40


async def test_due_age_is_that_of_the_oldest_due_entry(queue: QueueDriver) -> None:
    """The age is that of the oldest due entry of each priority, and 0 where nothing is due."""
    await queue.enqueue(priority=Priority.HIGH)
    await queue.enqueue(priority=Priority.BULK, due=timedelta(hours=1))
    async with queue.database.read() as connection:
        ages = await queue_counts.get_due_ages(connection, EntryKind.EMAIL, START + timedelta(seconds=90))
    assert ages == {Priority.HIGH: 90.0, Priority.NORMAL: 0.0, Priority.BULK: 0.0}


async def test_without_a_time_the_clock_of_the_database_counts(queue: QueueDriver) -> None:
    """Without a time argument, as in production, a claim uses the database's clock."""
    await queue.enqueue()
    async with queue.database.write() as connection:
        request = claim_of(queue.holder, await claim_sql.list_backlogs(connection, EntryKind.EMAIL))
        (claimed,) = await claim_sql.claim_entries(connection, request)
    async with queue.database.write() as connection:
        again = RescheduleEntry(delay=timedelta(hours=1), attempts=0)
        assert len(await entry_store.settle_entries(connection, [Settlement(entry=claimed, action=again)])) == 1
    async with queue.database.write() as connection:
        assert await claim_sql.claim_entries(connection, request) == []
        assert await entry_store.rescue_unmarked(connection, OVERRUN) == 0
