"""The marker: marks share a commit, and none is given without the database, the journal or a recent beat."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.executed_statements import record_statements
from support.manual_clock import ManualClock
from support.plain_handler import PlainHandler
from support.queue_driver import QueueDriver
from support.seeded_installation import Installation

from notifier.clock import SystemClock
from notifier.db.engine import Database
from notifier.outbox.entry_handler import ClaimedEntry
from notifier.outbox.heartbeat import Heartbeat, SenderIdentity
from notifier.outbox.journal import Journal
from notifier.outbox.marker import FIRST_BYTE_SECONDS, Marker
from notifier.outbox.queue_sql import BODY_LEASE

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def journal(queue: QueueDriver, tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal", queue.holder)
    yield made
    made.close()


async def claimed(queue: QueueDriver, count: int) -> list[ClaimedEntry]:
    """Claim this many entries, with leases by the real clock."""
    for _ in range(count):
        await queue.enqueue()
    queue.now = SystemClock().now()
    return await queue.claim(count)


async def test_marks_requested_together_share_a_transaction(queue: QueueDriver, journal: Journal) -> None:
    """Fifty marks that are requested at once take two transactions."""
    entries, clock = await claimed(queue, 50), ManualClock()
    marker = made(queue, journal, clock=clock)
    with record_statements(queue.database) as statements:
        permits = await asyncio.gather(*(marker.mark(entry) for entry in entries))
    assert 1 <= len([text for text, _ in statements if "marked_at = " in text]) <= 2
    for permit in permits:
        assert permit is not None
        assert permit.first_byte_by == clock.ticks + FIRST_BYTE_SECONDS
        assert permit.ends < clock.ticks + BODY_LEASE.total_seconds()
        assert permit.may_continue()


async def test_an_entry_that_is_not_wanted_any_more_gets_no_mark(queue: QueueDriver, journal: Journal) -> None:
    """An entry that ended, expired or was suppressed after its claim gets no mark; another one does."""
    unwanted, wanted_entry = await claimed(queue, 2)
    handler = PlainHandler()
    handler.still_wanted = (
        f"e.subject_id = '{wanted_entry.subject_id if not queue.database.is_sqlite else wanted_entry.subject_id.hex}'"
    )
    marker = made(queue, journal, handler=handler)
    assert await marker.mark(unwanted) is None
    assert await marker.mark(wanted_entry) is not None


async def test_without_a_database_there_is_no_mark(queue: QueueDriver, journal: Journal) -> None:
    """A mark that cannot be committed is not given."""
    (entry,) = await claimed(queue, 1)
    nowhere = Database(NOWHERE)
    marker = made(queue, journal, database=nowhere)
    assert await marker.mark(entry) is None
    await nowhere.close()


async def test_without_a_journal_there_is_no_mark(queue: QueueDriver, journal: Journal) -> None:
    """No mark is given when the relay's reply could not be written to the journal."""
    (entry,) = await claimed(queue, 1)
    marker = made(queue, journal)
    file, journal._file = journal._file, os.open("/dev/full", os.O_WRONLY)
    journal.append(entry, {})
    assert await marker.mark(entry) is None
    os.close(journal._file)
    journal._file = file
    journal.rewrite()
    assert await marker.mark(entry) is not None
    journal.drop_settled(entry)


async def test_a_process_that_others_may_consider_dead_gets_no_mark(queue: QueueDriver, journal: Journal) -> None:
    """A process without a recent beat gets no mark, and its earlier permit ends."""
    first, second = await claimed(queue, 2)
    clock = ManualClock()
    life = Heartbeat(queue.database, queue.holder, clock, dead_after=30)
    life._last_beat = clock.monotonic()  # SQLite has no table of beats to write to
    holder = SenderIdentity(boot_id=queue.holder, journal=journal, heartbeat=life)
    marker = made(queue, journal, clock=clock, holder=holder)
    permit = await marker.mark(first)
    assert permit is not None
    assert permit.may_continue()
    clock.advance(25)
    assert not permit.may_continue()
    assert await marker.mark(second) is None


async def test_a_permit_does_not_survive_a_missed_beat(postgres_installation: Installation, tmp_path: Path) -> None:
    """After a missed beat earlier permits are void, because another process may have rescued the mail."""
    async with postgres_installation.open_parts() as base:
        queue, clock = QueueDriver(base.database), ManualClock()
        before, after = await claimed(queue, 2)
        life = Heartbeat(base.database, queue.holder, clock, dead_after=30)
        journal = Journal(tmp_path / "journal", queue.holder)
        holder = SenderIdentity(boot_id=queue.holder, journal=journal, heartbeat=life)
        marker = made(queue, journal, clock=clock, holder=holder)
        await life.beat()
        old = await marker.mark(before)
        assert old is not None
        assert old.may_continue()
        clock.advance(40)
        await life.beat()
        new = await marker.mark(after)
        assert new is not None
        assert (old.may_continue(), new.may_continue()) == (False, True)
        journal.close()


def made(
    queue: QueueDriver,
    journal: Journal,
    *,
    database: Database | None = None,
    handler: PlainHandler | None = None,
    clock: ManualClock | None = None,
    holder: SenderIdentity | None = None,
) -> Marker:
    """Build a marker of the queue's holder with a handler that refuses nothing."""
    return Marker(
        database or queue.database,
        handler or PlainHandler(),
        holder=holder or SenderIdentity(boot_id=queue.holder, journal=journal, heartbeat=None),
        clock=clock or ManualClock(),
        accept_mark=lambda _: True,
        count_entries=lambda: 50,
    )
