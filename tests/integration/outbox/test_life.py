"""The heartbeat: another process is dead only if it is silent while one's own beats succeed."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from parts import postgres
from parts.installation import Installation
from parts.time import HandClock
from sqlalchemy import text

from notifier.db import migrate
from notifier.db.engine import Database
from notifier.ids import new_id
from notifier.outbox import life
from notifier.outbox.drain import Drain
from notifier.outbox.life import Life

DEAD_AFTER = 30.0
BEAT = DEAD_AFTER / life.BEATS


@pytest.fixture
async def database(postgres_installation: Installation) -> AsyncIterator[Database]:
    async with postgres_installation.base() as base:
        yield base.database


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def first(database: Database, clock: HandClock) -> Life:
    return Life(database, new_id(), clock, dead_after=DEAD_AFTER)


@pytest.fixture
def other(database: Database, clock: HandClock) -> Life:
    return Life(database, new_id(), clock, dead_after=DEAD_AFTER)


async def test_a_process_that_beats_is_alive(first: Life, other: Life, clock: HandClock) -> None:
    """Two that beat never consider each other dead."""
    for _ in range(20):
        assert await first.beat() == await other.beat() == []
        clock.later(BEAT)
    assert first.is_steady()


async def test_a_silent_process_is_dead_after_the_timeout(first: Life, other: Life, clock: HandClock) -> None:
    """Not before the same beat was read for thirty seconds of one's own time."""
    await other.beat()
    for _ in range(life.BEATS):
        assert await first.beat() == []
        clock.later(BEAT)
    assert await first.beat() == [other.boot_id]


async def test_a_process_that_was_stopped_judges_no_other(first: Life, other: Life, clock: HandClock) -> None:
    """After its own stop it gives the others the whole timeout again."""
    await other.beat()
    await first.beat()
    for _ in range(life.BEATS):
        clock.later(BEAT)
        await first.beat()
        await other.beat()
    assert first.is_steady()
    clock.later(300)
    assert not first.is_steady()  # before it has even tried to beat again
    assert await first.beat() == []
    assert not first.is_steady()


async def test_a_wrong_clock_makes_no_process_dead(
    first: Life, other: Life, clock: HandClock, database: Database
) -> None:
    """Whatever the times in the beats are, only their changes count."""
    for _ in range(20):
        await other.beat()
        async with database.write() as connection:
            await connection.execute(
                text("UPDATE sender_process SET beat_at = beat_at - interval '1 hour' WHERE id = :id"),
                {"id": other.boot_id},
            )
        assert await first.beat() == []
        clock.later(BEAT)


async def test_a_process_stops_bodies_before_others_consider_it_dead(first: Life, clock: HandClock) -> None:
    """Its own limit is shorter than the timeout of the others."""
    assert not first.is_sure()
    await first.beat()
    clock.later(life.OWN_SHARE * DEAD_AFTER - 1)
    assert first.is_sure()
    clock.later(2)
    assert not first.is_sure()


async def test_a_beat_publishes_the_throughput(database: Database, clock: HandClock) -> None:
    """Ten a second for twenty seconds with mail waiting; once that is long ago, nothing."""
    drain = Drain()
    life = Life(database, new_id(), clock, dead_after=DEAD_AFTER, drain=drain)
    rates = []
    for seconds in (20.0, 1000.0, 0.0):
        await life.beat()
        async with database.read() as connection:
            rates.append((await connection.execute(text("SELECT sent_rate FROM sender_process"))).scalar_one())
        drain.left(200, clock.monotonic())
        clock.later(seconds)
        drain.claimed_after(seconds, clock.monotonic())
    assert rates == [None, pytest.approx(10, rel=0.1), None]


async def test_a_deleted_process_comes_back(first: Life, other: Life, database: Database) -> None:
    """A row that others have deleted is written again by the next beat."""
    await other.beat()
    async with database.write() as connection:
        await life.forget(connection, other.boot_id)
    await other.beat()
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM sender_process"))).scalar_one() == 1


@pytest.mark.timeout(60)
async def test_an_outage_makes_no_process_dead(clock: HandClock) -> None:
    """C4: while the database is away no process beats; when it is back, each has the whole timeout again."""
    server = await asyncio.to_thread(lambda: postgres.OwnServer(durable=True))
    try:
        database = Database(server.url("postgres"))
        await migrate.upgrade(database)
        first, other = (Life(database, new_id(), clock, dead_after=DEAD_AFTER) for _ in range(2))
        await other.beat()
        await first.beat()
        await asyncio.to_thread(server.halt)
        for _ in range(3):
            clock.later(BEAT)
            assert await first.beat() == []
        await asyncio.to_thread(server.start)
        clock.later(DEAD_AFTER)
        assert await first.beat() == []
        assert not first.is_steady()
        for _ in range(life.BEATS - 1):
            clock.later(BEAT)
            assert await first.beat() == []
        clock.later(BEAT)
        assert await first.beat() == [other.boot_id]
        await database.close()
    finally:
        await asyncio.to_thread(server.stop)
