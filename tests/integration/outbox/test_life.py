"""Who counts as dead: only who is silent for long, by one's own time, while one's own beats succeed."""

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
from notifier.outbox.heartbeat import Heartbeat
from notifier.outbox.throughput import ThroughputEstimate

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
def one(database: Database, clock: ManualClock) -> Heartbeat:
    return Heartbeat(database, generate_id(), clock, dead_after=DEAD_AFTER)


@pytest.fixture
def other(database: Database, clock: ManualClock) -> Heartbeat:
    return Heartbeat(database, generate_id(), clock, dead_after=DEAD_AFTER)


async def test_whoever_beats_lives(one: Heartbeat, other: Heartbeat, clock: ManualClock) -> None:
    """Two that beat never take each other for dead."""
    for _ in range(20):
        assert await one.beat() == await other.beat() == []
        clock.advance(BEAT)
    assert one.can_judge_others()


async def test_silence_is_death_after_its_time_and_not_before(
    one: Heartbeat, other: Heartbeat, clock: ManualClock
) -> None:
    """The same beat seen for thirty seconds of one's own time."""
    await other.beat()
    for _ in range(heartbeat.BEATS_PER_TIMEOUT):
        assert await one.beat() == []
        clock.advance(BEAT)
    assert await one.beat() == [other.boot_id]


async def test_one_that_stood_still_itself_judges_nobody(one: Heartbeat, other: Heartbeat, clock: ManualClock) -> None:
    """After a stop of one's own the others get their whole time again."""
    await other.beat()
    await one.beat()
    for _ in range(heartbeat.BEATS_PER_TIMEOUT):
        clock.advance(BEAT)
        await one.beat()
        await other.beat()
    assert one.can_judge_others()
    clock.advance(300)
    assert not one.can_judge_others()  # before it has even tried to beat again
    assert await one.beat() == []
    assert not one.can_judge_others()


async def test_a_wrong_clock_kills_nobody(
    one: Heartbeat, other: Heartbeat, clock: ManualClock, database: Database
) -> None:
    """However wrong the times in the beats are: only whether they change counts."""
    for _ in range(20):
        await other.beat()
        async with database.write() as connection:
            await connection.execute(
                text("UPDATE sender_process SET beat_at = beat_at - interval '1 hour' WHERE id = :id"),
                {"id": other.boot_id},
            )
        assert await one.beat() == []
        clock.advance(BEAT)


async def test_nobody_is_sure_of_himself_for_longer_than_others_are(one: Heartbeat, clock: ManualClock) -> None:
    """One stops writing bodies before anybody can think one dead."""
    assert not one.is_alive_to_others()
    await one.beat()
    clock.advance(heartbeat.OWN_TIMEOUT_SHARE * DEAD_AFTER - 1)
    assert one.is_alive_to_others()
    clock.advance(2)
    assert not one.is_alive_to_others()


async def test_a_beat_says_how_fast_one_works(database: Database, clock: ManualClock) -> None:
    """Ten a second for twenty seconds with mail waiting; and once that is long ago, nothing."""
    drain = ThroughputEstimate()
    life = Heartbeat(database, generate_id(), clock, dead_after=DEAD_AFTER, drain=drain)
    told = []
    for seconds in (20.0, 1000.0, 0.0):
        await life.beat()
        async with database.read() as connection:
            told.append((await connection.execute(text("SELECT sent_rate FROM sender_process"))).scalar_one())
        drain.record_departures(200, clock.monotonic())
        clock.advance(seconds)
        drain.record_waiting_time(seconds, clock.monotonic())
    assert told == [None, pytest.approx(10, rel=0.1), None]


async def test_whoever_was_taken_for_dead_comes_back(one: Heartbeat, other: Heartbeat, database: Database) -> None:
    """A row that others have deleted is written again by the next beat."""
    await other.beat()
    async with database.write() as connection:
        await heartbeat.delete_sender_process(connection, other.boot_id)
    await other.beat()
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM sender_process"))).scalar_one() == 1


@pytest.mark.timeout(60)
async def test_an_outage_kills_nobody(clock: ManualClock) -> None:
    """C4: while the database is away nobody beats; when it is back, all have their whole time again."""
    server = await asyncio.to_thread(lambda: postgres_cluster.OwnServer(durable=True))
    try:
        database = Database(server.url("postgres"))
        await migrations.upgrade_schema(database)
        one, other = (Heartbeat(database, generate_id(), clock, dead_after=DEAD_AFTER) for _ in range(2))
        await other.beat()
        await one.beat()
        await asyncio.to_thread(server.halt)
        for _ in range(3):
            clock.advance(BEAT)
            assert await one.beat() == []
        await asyncio.to_thread(server.start)
        clock.advance(DEAD_AFTER)
        assert await one.beat() == []
        assert not one.can_judge_others()
        for _ in range(heartbeat.BEATS_PER_TIMEOUT - 1):
            clock.advance(BEAT)
            assert await one.beat() == []
        clock.advance(BEAT)
        assert await one.beat() == [other.boot_id]
        await database.close()
    finally:
        await asyncio.to_thread(server.stop)
