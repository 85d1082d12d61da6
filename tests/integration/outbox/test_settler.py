"""The settler loses nothing while the database is away, and one bad record affects only its entry."""

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import text
from support import postgres_cluster
from support.plain_handler import PlainHandler
from support.queue_driver import QueueDriver

from notifier.db import migrations
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.outbox.entry_handler import FinishEntry, Settlement
from notifier.outbox.settler import Settler
from notifier.states import EntryState
from notifier.telemetry import metrics


class Recorder(PlainHandler):
    """A handler that writes the record's text; the text 'poison' breaks a constraint."""

    def __init__(self) -> None:
        self.settled = 0
        self.changed = asyncio.Event()

    async def record(self, connection: StatementConnection, settled: Sequence[Settlement]) -> None:
        for settlement in (item for item in settled if item.record is not None):
            await connection.execute(text("INSERT INTO ledger VALUES (:word)"), {"word": settlement.record})

    def count(self, written: Sequence[Settlement]) -> None:
        self.settled += len(written)
        self.changed.set()


async def _with_ledger(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE ledger (word text CHECK (word <> 'poison'))"))


async def _words(database: Database) -> list[str]:
    async with database.read() as connection:
        return sorted((await connection.execute(text("SELECT word FROM ledger"))).scalars())


async def test_a_poison_record_is_held_and_its_neighbours_are_written(queue: QueueDriver) -> None:
    """An entry whose record cannot be written is held and never sent again; the others settle."""
    await _with_ledger(queue.database)
    for _ in range(7):
        await queue.enqueue()
    claimed = await queue.claim()
    recorder = Recorder()
    settler = Settler(queue.database, recorder, on_written=recorder.count, is_busy=lambda: False)
    for number, entry in enumerate(claimed):
        record = "poison" if number == 3 else f"word{number}"
        settler.add(Settlement(entry=entry, action=FinishEntry(), record=record))
    settler.close()
    await settler.run()
    assert await _words(queue.database) == [f"word{n}" for n in (0, 1, 2, 4, 5, 6)]
    assert await queue.states() == {EntryState.READY: 0, EntryState.LEASED: 0, EntryState.HELD: 1}
    assert recorder.settled == 7


async def test_a_lost_lease_is_counted_and_not_recorded(queue: QueueDriver) -> None:
    """A settlement with an old fence writes nothing and is counted in the metric."""
    await _with_ledger(queue.database)
    await queue.enqueue()
    (stale,) = await queue.claim()
    queue.later(hours=1)
    await queue.rescue()
    await queue.claim()
    before = metrics.LEASES_LOST._value.get()
    recorder = Recorder()
    settler = Settler(queue.database, recorder, on_written=recorder.count, is_busy=lambda: False)
    settler.add(Settlement(entry=stale, action=FinishEntry(), record="late"))
    settler.close()
    await settler.run()
    assert await _words(queue.database) == []
    assert metrics.LEASES_LOST._value.get() == before + 1


async def test_a_proof_counts_whoever_holds_the_entry(queue: QueueDriver) -> None:
    """Rule 5: a 250 under a lost lease is recorded, deletes the entry, and counts as a lost lease."""
    await _with_ledger(queue.database)
    entry = await queue.enqueue()
    (stale,) = await queue.claim()
    queue.later(hours=1)
    await queue.rescue()
    await queue.claim()
    before = metrics.LEASES_LOST._value.get()
    recorder = Recorder()
    settler = Settler(queue.database, recorder, on_written=recorder.count, is_busy=lambda: False)
    settler.add(Settlement(entry=stale, action=FinishEntry(), record="proof", proof=True))
    settler.close()
    await settler.run()
    assert await _words(queue.database) == ["proof"]
    assert await queue.row(entry.id) is None
    assert metrics.LEASES_LOST._value.get() == before + 1


@pytest.mark.timeout(60)
async def test_settlements_wait_for_the_database_and_are_written_when_it_returns() -> None:
    """Settlements wait while the database is away, and none is lost."""
    server = await asyncio.to_thread(lambda: postgres_cluster.OwnServer(durable=True))
    try:
        database = Database(server.url("postgres"))
        await migrations.upgrade_schema(database)
        queue = QueueDriver(database)
        await _with_ledger(database)
        await queue.enqueue()
        (claimed,) = await queue.claim()
        await asyncio.to_thread(server.halt)
        recorder = Recorder()
        settler = Settler(database, recorder, on_written=recorder.count, is_busy=lambda: False)
        running = asyncio.create_task(settler.run())
        settler.add(Settlement(entry=claimed, action=FinishEntry(), record="kept"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await recorder.changed.wait()
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(50):
            await recorder.changed.wait()
        settler.close()
        await running
        assert await _words(database) == ["kept"]
        await database.close()
    finally:
        await asyncio.to_thread(server.stop)
