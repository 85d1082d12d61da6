"""Rules 2 to 7 of the fence protocol, on SQLite and PostgreSQL."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select, text
from support.queue_driver import ALL, QueueDriver, claim_of
from support.seeded_installation import Installation

from notifier.db.tables import OutboxEntry, get_columns
from notifier.ids import generate_id
from notifier.outbox import claim_sql, entry_store
from notifier.outbox.entry_handler import (
    ClaimedEntry,
    FinishEntry,
    HoldEntry,
    ReleaseEntry,
    RescheduleEntry,
    Settlement,
)
from notifier.outbox.entry_store import MAX_LOSSES, LeaseSelection
from notifier.outbox.queue_sql import BODY_LEASE
from notifier.states import EntryKind, EntryState

_entry = get_columns(OutboxEntry)


async def test_a_mark_goes_to_the_holder_and_prolongs_the_lease(queue: QueueDriver) -> None:
    """Rule 2: the holder gets the mark, and its lease is prolonged to that of a body."""
    entry = await queue.enqueue()
    (claimed,) = await queue.claim()
    queue.later(minutes=4)
    assert await queue.mark(claimed) == {claimed.fence}
    row = await queue.row(entry.id)
    assert row is not None
    assert row.marked_at == queue.now
    queue.now += BODY_LEASE - timedelta(seconds=1)
    assert (await queue.rescue(), await queue.lost(), await queue.overdue()) == (0, [], False)
    queue.later(seconds=1)
    assert await queue.overdue()
    (lost,) = await queue.lost()
    assert lost.entry.fence == claimed.fence


async def test_a_mark_leaves_the_row_on_its_page(postgres_installation: Installation) -> None:
    """On PostgreSQL a mark is a cheap heap-only update, because it changes no indexed column."""
    async with postgres_installation.open_parts() as base:
        queue = QueueDriver(base.database)
        await queue.enqueue()
        (claimed,) = await queue.claim()
        async with queue.database.write() as connection:
            marked = await entry_store.mark_entries(connection, queue.holder, [claimed], now=queue.now)
            hot = text("SELECT pg_stat_get_xact_tuples_hot_updated('outbox_entry'::regclass)")
            assert (marked, (await connection.execute(hot)).scalar_one()) == ({claimed.fence}, 1)


async def test_no_mark_without_the_lease(queue: QueueDriver) -> None:
    """Rule 2: an expired or rescued lease, another holder, an old fence and a withdrawn entry get no mark."""
    for _ in range(3):
        await queue.enqueue()
    overrun, rescued, withdrawn = await queue.claim()
    stranger = QueueDriver(queue.database, queue.now)
    assert await stranger.mark(overrun) == set()
    assert await _withdraw(queue, withdrawn)
    assert await queue.mark(withdrawn) == set()
    queue.later(minutes=5)
    assert await queue.mark(overrun) == set()
    await queue.rescue()
    assert await queue.mark(rescued) == set()
    again = await queue.claim()
    assert await queue.mark(overrun, rescued) == set()
    assert await queue.mark(*again) == {entry.fence for entry in again}


async def test_a_marked_entry_is_rescued_only_by_its_handler(queue: QueueDriver) -> None:
    """Rule 3: a marked entry whose lease expired is handed to its handler, with an unchanged fence."""
    await queue.enqueue()
    (claimed,) = await queue.claim()
    await queue.mark(claimed)
    queue.later(minutes=19)
    assert await queue.lost() == []
    queue.later(minutes=1)
    assert await queue.rescue() == 0
    (lost,) = await queue.lost()
    assert (lost.entry.fence, lost.marked_at) == (claimed.fence, queue.now - timedelta(minutes=20))
    assert (
        len(await queue.settle(Settlement(entry=lost.entry, action=RescheduleEntry(delay=timedelta(0), attempts=1))))
        == 1
    )
    (again,) = await queue.claim()
    assert (again.lease_no, again.lost, again.attempts) == (2, 0, 1)
    row = await queue.row(claimed.id)
    assert row is not None
    assert row.marked_at is None


async def test_one_holders_claims_are_rescued_at_once(queue: QueueDriver) -> None:
    """A dead process's entries are rescued before their leases end, and no other process's are."""
    await queue.enqueue()
    (mine,) = await queue.claim()
    await queue.enqueue()
    stranger = QueueDriver(queue.database, queue.now)
    (theirs,) = await stranger.claim()
    assert await queue.rescue(LeaseSelection(kind=EntryKind.EMAIL, holder=stranger.holder)) == 1
    assert (await _state(queue, mine.id), await _state(queue, theirs.id)) == (EntryState.LEASED, EntryState.READY)


async def test_a_proof_deletes_what_is_not_marked_again(queue: QueueDriver) -> None:
    """Rule 5: a proof deletes the entry, whoever holds it, unless it is marked again; a missing one is no error."""
    for _ in range(4):
        await queue.enqueue()
    ready, leased, marked, gone = stale = await queue.claim()
    queue.later(minutes=5)
    await queue.rescue()
    again = {entry.id: entry for entry in await queue.claim()}
    await queue.settle(Settlement(entry=again[ready.id], action=ReleaseEntry()))
    await queue.mark(again[marked.id])
    await queue.finish(again[gone.id])
    async with queue.database.write() as connection:
        await entry_store.delete_proven(connection, stale)
    assert await _state(queue, ready.id) is None
    assert await _state(queue, leased.id) is None
    assert await _state(queue, marked.id) is EntryState.LEASED


async def test_a_withdrawal_spares_what_is_marked(queue: QueueDriver) -> None:
    """Rule 6: waiting, held and leased entries can be withdrawn, and marked ones cannot."""
    for _ in range(4):
        await queue.enqueue()
    ready, held, leased, marked = await queue.claim()
    await queue.settle(Settlement(entry=ready, action=ReleaseEntry()), Settlement(entry=held, action=HoldEntry()))
    await queue.mark(marked)
    assert [await _withdraw(queue, e) for e in (ready, held, leased, marked)] == [True, True, True, False]
    assert await queue.states() == {EntryState.READY: 0, EntryState.LEASED: 1, EntryState.HELD: 0}


async def test_a_suspect_is_claimed_alone(queue: QueueDriver) -> None:
    """After the second loss an entry is claimed only alone."""
    entry = await queue.enqueue()
    for _ in range(2):
        await queue.claim()
        await queue.rescue(ALL)
    await queue.enqueue()
    async with queue.database.read() as connection:
        assert await claim_sql.has_due_suspect(connection, EntryKind.EMAIL, now=queue.now)
    assert [claimed.id for claimed in await queue.claim()] != [entry.id]
    (suspect,) = await queue.claim(suspects=True)
    assert (suspect.id, suspect.lost) == (entry.id, 2)
    async with queue.database.read() as connection:
        assert not await claim_sql.has_due_suspect(connection, EntryKind.EMAIL, now=queue.now)


async def test_an_entry_lost_alone_waits_longer_each_time(queue: QueueDriver) -> None:
    """An entry that was lost alone waits 10 s, then a minute, because the host may be the cause."""
    entry = await queue.enqueue()
    waits = []
    for lost in range(MAX_LOSSES):
        await queue.claim(suspects=lost >= 2)
        assert await queue.rescue(ALL) == 1
        row = await queue.row(entry.id)
        assert row is not None
        waits.append((row.due_at - queue.now).total_seconds())
        queue.now = row.due_at
    assert waits == [0, 0, 10, 60]


async def test_the_third_loss_alone_goes_to_the_handler(queue: QueueDriver) -> None:
    """After two losses in company and three alone an entry is given to the handler and not made ready."""
    await queue.enqueue()
    for lost in range(MAX_LOSSES):
        await queue.claim(suspects=lost >= 2)
        await queue.rescue(ALL)
        queue.later(minutes=2)
    (claimed,) = await queue.claim(suspects=True)
    assert await queue.rescue(ALL) == 0
    (lost_one,) = await queue.lost(ALL)
    assert (lost_one.entry.fence, lost_one.marked_at, lost_one.entry.lost) == (claimed.fence, None, MAX_LOSSES)


async def test_expired_holds_are_released(queue: QueueDriver) -> None:
    """An entry held until a time becomes ready then, and one held without an end does not."""
    for _ in range(2):
        await queue.enqueue()
    until, for_good = await queue.claim()
    await queue.settle(
        Settlement(entry=until, action=HoldEntry(delay=timedelta(hours=1), attempts=2)),
        Settlement(entry=for_good, action=HoldEntry()),
    )
    assert await _ripen(queue) == 0
    queue.later(hours=1)
    assert await _ripen(queue) == 1
    queue.later(days=20000)
    assert await _ripen(queue) == 0
    (claimed,) = await queue.claim()
    assert (claimed.id, claimed.attempts) == (until.id, 2)


async def test_orphans_are_released(queue: QueueDriver) -> None:
    """Leased entries that their holder does not know become ready, unless they are marked."""
    for _ in range(3):
        await queue.enqueue()
    known, unheard, marked = await queue.claim()
    await queue.mark(marked)
    async with queue.database.write() as connection:
        beside = replace(claim_of(queue.holder), kind=EntryKind.WEBHOOK)  # another worker of the same process
        assert await claim_sql.release_orphans(connection, beside, [], now=queue.now) == 0
        assert await claim_sql.release_orphans(connection, claim_of(queue.holder), [known.id], now=queue.now) == 1
        assert await claim_sql.release_orphans(connection, claim_of(generate_id()), [], now=queue.now) == 0
    assert await _state(queue, unheard.id) is EntryState.READY
    assert (await queue.states())[EntryState.LEASED] == 2


async def test_a_settle_removes_the_mark(queue: QueueDriver) -> None:
    """A settle removes the mark, so the next claim needs a new one, which can be refused."""
    await queue.enqueue()
    (claimed,) = await queue.claim()
    await queue.mark(claimed)
    await queue.settle(Settlement(entry=claimed, action=ReleaseEntry()))
    (again,) = await queue.claim()
    assert await _withdraw(queue, again)
    assert await queue.settle(Settlement(entry=again, action=FinishEntry())) == []


async def _withdraw(queue: QueueDriver, entry: ClaimedEntry) -> bool:
    async with queue.database.write() as connection:
        return await entry_store.withdraw_entry(connection, entry.service_id, entry.subject_id)


async def _ripen(queue: QueueDriver) -> int:
    async with queue.database.write() as connection:
        return await entry_store.release_expired_holds(connection, now=queue.now)


async def _state(queue: QueueDriver, id_: UUID) -> EntryState | None:
    async with queue.database.read() as connection:
        return (await connection.execute(select(_entry.state).where(_entry.id == id_))).scalar_one_or_none()
