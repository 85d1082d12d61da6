"""The worker's loop over a handler of the test's own: what it claims, when it is drained, and how it stops."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from parts.queue import Queue
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.clock import SystemClock
from notifier.outbox.handler import Claimed, Finish, Settle, Settlement
from notifier.outbox.wake import Wake
from notifier.outbox.worker import Holder, Worker
from notifier.states import EntryKind, EntryState


class Gate:
    """A handler that finishes its entries once the gate is open."""

    kind = EntryKind.EMAIL
    slots = 10
    lease = timedelta(minutes=5)

    def __init__(self) -> None:
        self.claimed = asyncio.Event()
        self.open = asyncio.Event()
        self.done = 0

    def room(self) -> int:
        return 1000

    async def process(self, batch: Sequence[Claimed], settle: Settle) -> None:
        self.claimed.set()
        await self.open.wait()
        for entry in batch:
            settle(Settlement(entry=entry, action=Finish()))
            self.done += 1

    async def record(self, connection: AsyncConnection, settled: Sequence[Settlement]) -> None:
        """Nothing to record."""


class Broken(Gate):
    """A handler that raises without settling anything."""

    async def process(self, batch: Sequence[Claimed], settle: Settle) -> None:
        self.claimed.set()
        raise ZeroDivisionError


@asynccontextmanager
async def working(queue: Queue, handler: Gate, wake: Wake) -> AsyncIterator[Worker]:
    """A worker on the queue, stopped at the end of the block."""
    holder = Holder(boot_id=queue.holder, owns_database=queue.database.is_sqlite)
    worker = Worker(queue.database, handler, holder=holder, clock=SystemClock(), wake=wake)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        handler.open.set()
        worker.stop()
        await running


@asynccontextmanager
async def claims_blocked(queue: Queue) -> AsyncIterator[None]:
    """Nobody else can claim inside this block."""
    async with queue.database.write() as connection:
        if not queue.database.is_sqlite:
            await connection.execute(text("LOCK TABLE outbox_entry IN ACCESS EXCLUSIVE MODE"))
        yield


@pytest.fixture
async def full(queue: Queue) -> Queue:
    """A queue with ten entries, one more than the share that a claim of ten slots may take."""
    for _ in range(10):
        await queue.enqueue()
    return queue


async def test_drained_means_that_nothing_is_left(full: Queue) -> None:
    """A claim made while the slots were full finds nothing, and that does not count as drained."""
    gate, wake = Gate(), Wake()
    async with working(full, gate, wake) as worker:
        await gate.claimed.wait()
        async with claims_blocked(full):
            wake()
            for _ in range(20):
                await asyncio.sleep(0)  # the next claim is under way, and has to wait
            gate.open.set()
            for _ in range(20):
                await asyncio.sleep(0)  # everything inside is done meanwhile
        async with asyncio.timeout(10):
            await worker.drain()
        assert gate.done == 10
    assert sum((await full.states()).values()) == 0


async def test_stopping_waits_for_what_is_inside(full: Queue) -> None:
    """A stop makes no new claims and settles what was claimed."""
    gate = Gate()
    async with working(full, gate, Wake()):
        await gate.claimed.wait()
    states = await full.states()
    assert states[EntryState.LEASED] == 0
    assert states[EntryState.READY] == 10 - gate.done


async def test_a_batch_that_raises_is_put_back(full: Queue) -> None:
    """Entries that a handler left unsettled become due again later, with no attempt burnt, and the worker lives on."""
    broken = Broken()
    async with working(full, broken, Wake()) as worker:
        await broken.claimed.wait()
        async with asyncio.timeout(10):
            await worker.drain()
    assert await full.states() == {EntryState.READY: 10, EntryState.LEASED: 0, EntryState.HELD: 0}
