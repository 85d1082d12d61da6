"""The worker's loop with a test handler: what it claims, when it is drained, and how it stops."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from support.cutting_proxy import CuttingProxy
from support.plain_handler import PlainHandler
from support.polling import wait_until
from support.queue_driver import QueueDriver
from support.seeded_installation import Installation

from notifier.clock import SystemClock
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.outbox.entry_handler import ClaimedEntry, FinishEntry, ReleaseEntry, Settlement, WorkerContext
from notifier.outbox.heartbeat import Heartbeat, SenderIdentity
from notifier.outbox.journal import Journal
from notifier.outbox.rescuer import Rescuer
from notifier.outbox.wakeup import Wakeup
from notifier.outbox.worker import Worker
from notifier.states import EntryState


class Gate(PlainHandler):
    """A handler that finishes its entries once the gate is open."""

    def __init__(self) -> None:
        self.claimed = asyncio.Event()
        self.open = asyncio.Event()
        self.done = 0

    async def process(self, batch: Sequence[ClaimedEntry], desk: WorkerContext) -> None:
        self.claimed.set()
        await self.open.wait()
        for entry in batch:
            desk.settle(Settlement(entry=entry, action=FinishEntry()))
            self.done += 1


class Broken(Gate):
    """A handler that raises before it settles anything."""

    async def process(self, batch: Sequence[ClaimedEntry], desk: WorkerContext) -> None:
        self.claimed.set()
        raise ZeroDivisionError


@asynccontextmanager
async def working(queue: QueueDriver, handler: "Gate | Slow", wake: Wakeup) -> AsyncIterator[Worker]:
    """Run a worker on the queue until the block ends."""
    clock, folder = SystemClock(), Path(tempfile.mkdtemp())
    life = None if queue.database.is_sqlite else Heartbeat(queue.database, queue.holder, clock, dead_after=30)
    holder = SenderIdentity(boot_id=queue.holder, journal=Journal(folder, queue.holder), heartbeat=life)
    rescuer = Rescuer(queue.database, [handler], holder=holder, journals=folder, clock=clock, on_rescue=wake)
    worker = Worker(queue.database, handler, holder=holder, rescuer=rescuer, clock=clock, wake=wake)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        if worker.stop_timeout > 1:
            handler.open.set()
        worker.stop()
        await running
        holder.journal.close()


@asynccontextmanager
async def claims_blocked(queue: QueueDriver) -> AsyncIterator[None]:
    """Prevent claims by others inside the block."""
    async with queue.database.write() as connection:
        if not queue.database.is_sqlite:
            await connection.execute(text("LOCK TABLE outbox_entry IN ACCESS EXCLUSIVE MODE"))
        yield


@pytest.fixture
async def full(queue: QueueDriver) -> QueueDriver:
    """Provide a queue with ten entries, one more than the share of a claim of ten slots."""
    for _ in range(10):
        await queue.enqueue()
    return queue


async def test_drained_means_that_no_entry_remains(full: QueueDriver) -> None:
    """A claim that finds nothing while the slots were full does not count as drained."""
    gate, wake = Gate(), Wakeup()
    async with working(full, gate, wake) as worker:
        await gate.claimed.wait()
        async with claims_blocked(full):
            wake()
            for _ in range(20):
                await asyncio.sleep(0)  # the next claim is under way, and has to wait
            gate.open.set()
            for _ in range(20):
                await asyncio.sleep(0)  # everything inside is done meanwhile
        async with asyncio.timeout(50):
            await worker.drain()
        assert gate.done == 10
    assert sum((await full.states()).values()) == 0


async def test_a_stop_waits_for_claimed_entries(full: QueueDriver) -> None:
    """A stop claims nothing more and settles what was claimed."""
    gate = Gate()
    async with working(full, gate, Wakeup()):
        await gate.claimed.wait()
    states = await full.states()
    assert states[EntryState.LEASED] == 0
    assert states[EntryState.READY] == 10 - gate.done


async def test_a_batch_that_raises_is_put_back(full: QueueDriver) -> None:
    """Unsettled entries of a handler that raises are due again later, use no attempt, and the worker continues."""
    broken = Broken()
    async with working(full, broken, Wakeup()) as worker:
        await broken.claimed.wait()
        async with asyncio.timeout(50):
            await worker.drain()
    assert await full.states() == {EntryState.READY: 10, EntryState.LEASED: 0, EntryState.HELD: 0}


async def test_a_claim_whose_reply_was_lost_is_released(postgres_installation: Installation) -> None:
    """The next claim releases a claim that was committed but whose reply was lost."""
    async with postgres_installation.open_parts() as parts, CuttingProxy(postgres_installation.settings) as wire:
        direct, through = QueueDriver(parts.database), QueueDriver(Database(wire.url))
        gate = Gate()
        gate.open.set()
        async with working(through, gate, Wakeup()) as worker:
            async with asyncio.timeout(50):
                await worker.drain()
            wire.cut_after_commit = True
            for _ in range(3):
                await direct.enqueue()
            await wait_until(lambda: gate.done == 3)
        await through.database.close()
        assert await direct.states() == dict.fromkeys(EntryState, 0)


async def test_without_a_journal_nothing_is_claimed(full: QueueDriver) -> None:
    """A sender that cannot write its journal claims nothing."""
    gate, wake = Gate(), Wakeup()
    async with working(full, gate, wake) as worker:
        await gate.claimed.wait()
        journal = worker._holder.journal
        journal._path.with_suffix(".new").mkdir()  # where its next file would have to be
        journal.rewrite()
        assert not journal.is_writable
        gate.open.set()
        wake()
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert (gate.done, (await full.states())[EntryState.READY]) == (9, 1)


class Careless(Gate):
    """A handler that gets its mark and raises before it settles anything."""

    async def process(self, batch: Sequence[ClaimedEntry], desk: WorkerContext) -> None:
        assert await desk.mark(batch[0]) is not None
        self.claimed.set()
        raise ZeroDivisionError


async def test_a_marked_entry_that_is_not_settled_is_not_put_back(full: QueueDriver) -> None:
    """A marked entry that was not settled keeps its mark until its lease ends, and is rescued as uncertain."""
    careless = Careless()
    async with working(full, careless, Wakeup()):
        await careless.claimed.wait()
    states = await full.states()
    assert (states[EntryState.LEASED], states[EntryState.READY]) == (1, 9)


class Slow(PlainHandler):
    """A handler that ends at once, and whose records take as long as the test says."""

    def __init__(self) -> None:
        self.done = 0
        self.recorded = 0
        self.recording = asyncio.Event()
        self.open = asyncio.Event()

    async def process(self, batch: Sequence[ClaimedEntry], desk: WorkerContext) -> None:
        self.done += len(batch)
        await super().process(batch, desk)

    async def record(self, connection: StatementConnection, settled: Sequence[Settlement]) -> None:
        self.recording.set()
        await self.open.wait()
        self.recorded += len(settled)


async def test_a_slow_database_gets_no_more_work(queue: QueueDriver) -> None:
    """Unwritten settlements use capacity, so claims stop until the database has caught up."""
    for _ in range(100):
        await queue.enqueue()
    slow = Slow()
    async with working(queue, slow, Wakeup()) as worker:
        await slow.recording.wait()
        for _ in range(20):
            worker._wake()
            await asyncio.sleep(0.01)
        assert slow.recorded == 0
        assert slow.done <= 2 * slow.slots
        slow.open.set()
        async with asyncio.timeout(50):
            await worker.drain()
    assert slow.recorded == 100


async def test_a_stop_does_not_wait_for_ever(queue: QueueDriver) -> None:
    """Without a database a stop ends too; leases and journal keep the unsettled entries."""
    await queue.enqueue()
    slow = Slow()
    async with working(queue, slow, Wakeup()) as worker:
        await slow.recording.wait()
        worker.stop_timeout = 0.1
    assert slow.recorded == 0
    assert (await queue.states())[EntryState.LEASED] == 1


async def test_an_unexpected_error_does_not_end_the_loops(queue: QueueDriver) -> None:
    """After an unexpected error, such as a missing table, the loops continue."""
    gate, wake = Gate(), Wakeup()
    gate.open.set()
    async with working(queue, gate, wake) as worker:
        async with asyncio.timeout(50):
            await worker.drain()
        async with queue.database.write() as connection:
            await connection.execute(text("ALTER TABLE outbox_entry RENAME TO elsewhere"))
        for _ in range(10):
            wake()
            await asyncio.sleep(0.02)
        async with queue.database.write() as connection:
            await connection.execute(text("ALTER TABLE elsewhere RENAME TO outbox_entry"))
        await queue.enqueue()
        wake()
        await wait_until(lambda: gate.done == 1)


class Fickle(Gate):
    """A handler that releases its first entry once."""

    async def process(self, batch: Sequence[ClaimedEntry], desk: WorkerContext) -> None:
        for entry in batch:
            desk.settle(Settlement(entry=entry, action=FinishEntry() if self.claimed.is_set() else ReleaseEntry()))
            self.done += self.claimed.is_set()
            self.claimed.set()


async def test_a_released_entry_has_not_left(full: QueueDriver) -> None:
    """The throughput counts only entries that left the queue."""
    fickle, wake = Fickle(), Wakeup()
    async with working(full, fickle, wake) as worker:
        async with asyncio.timeout(50):
            await worker.drain()
        assert (fickle.done, sum(worker._holder.throughput._departures)) == (10, 10)


@pytest.mark.parametrize("tried", [0, 1])
async def test_only_first_attempts_tell_of_a_queue(queue: QueueDriver, tried: int) -> None:
    """An entry that was held and closed long after its due time does not count as a wait in the queue."""
    await queue.enqueue()  # due since the beginning of the year
    async with queue.database.write() as connection:
        await connection.execute(text("UPDATE outbox_entry SET attempts = :tried"), {"tried": tried})
    gate = Gate()
    async with working(queue, gate, Wakeup()) as worker:
        await gate.claimed.wait()
        assert any(worker._holder.throughput._had_queue) == (tried == 0)
