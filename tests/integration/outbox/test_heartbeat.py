"""The heartbeat: another process is dead only if it is silent while this process's own beats succeed."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from support import postgres_cluster
from support.manual_clock import ManualClock
from support.seeded_installation import Installation

from notifier.db import migrations
from notifier.db.engine import Database
from notifier.ids import generate_id
from notifier.outbox import heartbeat
from notifier.outbox.heartbeat import Heartbeat, ThroughputEstimate

DEAD_AFTER = 30.0
BEAT = DEAD_AFTER / heartbeat.BEATS_PER_TIMEOUT


@pytest.fixture
async def database(postgres_installation: Installation) -> AsyncIterator[Database]:
    async with postgres_installation.open_parts() as base:
        yield base.database


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def first(database: Database, clock: ManualClock) -> Heartbeat:
    return Heartbeat(database, generate_id(), clock, dead_after=DEAD_AFTER)


@pytest.fixture
def other(database: Database, clock: ManualClock) -> Heartbeat:
    return Heartbeat(database, generate_id(), clock, dead_after=DEAD_AFTER)


async def test_a_process_that_beats_is_alive(first: Heartbeat, other: Heartbeat, clock: ManualClock) -> None:
    """Two processes that beat never consider each other dead."""
    for _ in range(20):
        assert await first.beat() == await other.beat() == []
        clock.advance(BEAT)
    assert first.can_judge_others()


async def test_a_silent_process_is_dead_after_the_timeout(
    first: Heartbeat, other: Heartbeat, clock: ManualClock
) -> None:
    """A process is dead after thirty seconds, by the reader's own clock, without a new beat."""
    await other.beat()
    for _ in range(heartbeat.BEATS_PER_TIMEOUT):
        assert await first.beat() == []
        clock.advance(BEAT)
    assert await first.beat() == [other.boot_id]


async def test_a_process_that_was_stopped_judges_no_other(
    first: Heartbeat, other: Heartbeat, clock: ManualClock
) -> None:
    """A process that was paused gives the others the whole timeout again."""
    await other.beat()
    await first.beat()
    for _ in range(heartbeat.BEATS_PER_TIMEOUT):
        clock.advance(BEAT)
        await first.beat()
        await other.beat()
    assert first.can_judge_others()
    clock.advance(300)
    assert not first.can_judge_others()  # before it has even tried to beat again
    assert await first.beat() == []
    assert not first.can_judge_others()


async def test_a_wrong_clock_makes_no_process_dead(
    first: Heartbeat, other: Heartbeat, clock: ManualClock, database: Database
) -> None:
    """Only changes of a beat count, and not the times in it."""
    for _ in range(20):
        await other.beat()
        async with database.write() as connection:
            await connection.execute(
                text("UPDATE sender_process SET beat_at = beat_at - interval '1 hour' WHERE id = :id"),
                {"id": other.boot_id},
            )
        assert await first.beat() == []
        clock.advance(BEAT)


async def test_a_process_stops_bodies_before_others_consider_it_dead(first: Heartbeat, clock: ManualClock) -> None:
    """A process without a beat stops bodies before the others' timeout ends."""
    assert not first.is_alive_to_others()
    await first.beat()
    clock.advance(heartbeat.OWN_TIMEOUT_SHARE * DEAD_AFTER - 1)
    assert first.is_alive_to_others()
    clock.advance(2)
    assert not first.is_alive_to_others()


async def test_a_beat_publishes_the_throughput(database: Database, clock: ManualClock) -> None:
    """A beat publishes the throughput while mail waits, and nothing a long time after that."""
    drain = ThroughputEstimate()
    life = Heartbeat(database, generate_id(), clock, dead_after=DEAD_AFTER, throughput=drain)
    rates = []
    for seconds in (20.0, 1000.0, 0.0):
        await life.beat()
        async with database.read() as connection:
            rates.append((await connection.execute(text("SELECT sent_rate FROM sender_process"))).scalar_one())
        drain.record_departures(200, clock.monotonic())
        clock.advance(seconds)
        drain.record_waiting_time(seconds, clock.monotonic())
    assert rates == [None, pytest.approx(10, rel=0.1), None]


async def test_a_deleted_process_comes_back(first: Heartbeat, other: Heartbeat, database: Database) -> None:
    """The next beat writes a deleted row again."""
    await other.beat()
    async with database.write() as connection:
        await heartbeat.delete_sender_process(connection, other.boot_id)
    await other.beat()
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM sender_process"))).scalar_one() == 1


@pytest.mark.timeout(60)
async def test_an_outage_makes_no_process_dead(clock: ManualClock) -> None:
    """C4: after an outage of the database each process has the whole timeout again."""
    server = await asyncio.to_thread(lambda: postgres_cluster.OwnServer(durable=True))
    try:
        database = Database(server.url("postgres"))
        await migrations.upgrade_schema(database)
        first, other = (Heartbeat(database, generate_id(), clock, dead_after=DEAD_AFTER) for _ in range(2))
        await other.beat()
        await first.beat()
        await asyncio.to_thread(server.halt)
        for _ in range(3):
            clock.advance(BEAT)
            assert await first.beat() == []
        await asyncio.to_thread(server.start)
        clock.advance(DEAD_AFTER)
        assert await first.beat() == []
        assert not first.can_judge_others()
        for _ in range(heartbeat.BEATS_PER_TIMEOUT - 1):
            clock.advance(BEAT)
            assert await first.beat() == []
        clock.advance(BEAT)
        assert await first.beat() == [other.boot_id]
        await database.close()
    finally:
        await asyncio.to_thread(server.stop)
