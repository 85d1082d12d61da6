"""The ticker: exactly one run for each planned time that the policy asks for, whoever looks, and however often."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update
from support.counting_action import CountingAction
from support.job_driver import JobDriver
from support.manual_clock import ManualClock
from support.polling import poll_until
from support.seeded_installation import Installation

from notifier.audit import Actor
from notifier.db.engine import Database
from notifier.db.tables import INSTANCE, JobRun, OutboxEntry, Schedule, get_columns
from notifier.ids import generate_id
from notifier.job_states import CatchUp, Overlap
from notifier.jobs import job_control, job_store, schedule_store
from notifier.jobs.schedule_store import BuiltInScheduleError, ScheduleRequest, ScheduleView
from notifier.jobs.schedule_ticker import MAX_SCHEDULES_PER_TICK, ScheduleTicker
from notifier.outbox.wakeup import Wakeup
from notifier.states import EntryKind, JobKind, JobState

_run, _entry, _schedule = get_columns(JobRun), get_columns(OutboxEntry), get_columns(Schedule)
ACTIONS = {JobKind.NOTIFY: CountingAction(), JobKind.PURGE: CountingAction()}
MINUTELY = ScheduleRequest(timing="every 1m", kind=JobKind.NOTIFY, overlap=Overlap.QUEUE)
MINUTE = timedelta(minutes=1)
SEED = 20


async def _save(
    database: Database, clock: ManualClock, name: str = "nightly", request: ScheduleRequest = MINUTELY, **changes: Any
) -> ScheduleView:
    async with database.write() as connection:
        actor = Actor(name="operator:test", at=clock.now())
        return await schedule_store.save_schedule(
            connection, INSTANCE, name, replace(request, **changes), ACTIONS, actor=actor
        )


async def _list_planned(database: Database, schedule_id: UUID | None = None) -> list[tuple[UUID, datetime]]:
    query = select(_run.schedule_id, _run.planned_at).order_by(_run.planned_at, _run.id)
    if schedule_id is not None:
        query = query.where(_run.schedule_id == schedule_id)
    async with database.read() as connection:
        return [(row.schedule_id, row.planned_at) for row in await connection.execute(query)]


async def _list_times(database: Database, schedule: ScheduleView) -> list[datetime]:
    return [planned_at for _, planned_at in await _list_planned(database, schedule.id)]


async def _tick_until_quiet(tickers: Sequence[ScheduleTicker], chance: random.Random | None = None) -> None:
    """Let all look at once, again and again, until a look of each finds nothing; some looks are cancelled midway."""
    while True:
        tasks = [asyncio.create_task(ticker.tick()) for ticker in tickers]
        cancelled = chance is not None and chance.random() < 0.5
        if chance is not None and cancelled:
            victim = chance.choice(tasks)
            for _ in range(chance.randrange(1, 200)):
                await asyncio.sleep(0)
            victim.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            assert isinstance(result, int | asyncio.CancelledError), result
        if not cancelled and not any(results):
            return


def _choose_expected(catch_up: CatchUp, due: Sequence[datetime], now: datetime) -> Sequence[datetime]:
    """Choose which of the times that are due at this look get a run, by the rule."""
    if catch_up is CatchUp.ALL:
        return due
    return due[-1:] if due and (catch_up is CatchUp.ONE or now - due[-1] <= MINUTE) else []


async def _run_many(
    database: Database, tickers: Sequence[ScheduleTicker], clock: ManualClock, *, schedules: int, looks: int
) -> int:
    """Let tickers race over many schedules; returns the number of planned times, each of which is checked."""
    chance = random.Random(SEED)
    saved = []
    for number in range(schedules):
        catch_up = list(CatchUp)[number % 3]
        minutes = 1 + number % 2
        timing = f"every {minutes}m"
        saved.append((minutes, await _save(database, clock, f"s{number}", timing=timing, catch_up=catch_up)))
    expected: Counter[tuple[UUID, datetime]] = Counter()
    seen, planned = clock.now(), 0
    for look in range(looks):
        clock.advance(chance.choice([60, 60, 60, 70, 200]))
        now = clock.now()
        for minutes, schedule in saved:
            span = (now - seen) // MINUTE + 2
            start = seen.replace(second=0, microsecond=0)
            due = [time for time in (start + number * MINUTE for number in range(span)) if seen < time <= now]
            due = [time for time in due if time.timestamp() % (60 * minutes) == 0]
            planned += len(due)
            expected.update((schedule.id, time) for time in _choose_expected(schedule.catch_up, due, now))
        seen = now
        await _tick_until_quiet(tickers, chance if look % 2 else None)
    assert Counter(await _list_planned(database)) == expected
    async with database.read() as connection:
        entries = (await connection.execute(select(_entry.subject_id).where(_entry.kind == EntryKind.JOB))).scalars()
        runs = (await connection.execute(select(_run.id))).scalars().all()
        assert sorted(entries) == sorted(runs)
    return planned


async def test_four_senders_and_two_thousand_planned_times(postgres_installation: Installation) -> None:
    """Four processes look at 100 schedules at once, some killed in a transaction: one run for each wanted time."""
    clock = ManualClock()
    databases = [Database(postgres_installation.settings.effective_database_url) for _ in range(4)]
    try:
        tickers = [ScheduleTicker(database, clock, Wakeup()) for database in databases]
        assert await _run_many(databases[0], tickers, clock, schedules=100, looks=24) >= 2000
    finally:
        for database in databases:
            await database.close()


async def test_one_process_on_sqlite(sqlite_installation: Installation) -> None:
    """The same on SQLite, where one process has its ticker, which is stopped and started in the middle."""
    clock = ManualClock()
    async with sqlite_installation.open_parts() as parts:
        tickers = [ScheduleTicker(parts.database, clock, Wakeup()) for _ in range(2)]
        assert await _run_many(parts.database, tickers, clock, schedules=20, looks=12) >= 200


async def test_more_schedules_than_one_look_takes(driver: JobDriver) -> None:
    """Schedules that are due at the same second beyond the limit of one look come with the next."""
    clock = ManualClock()
    for number in range(MAX_SCHEDULES_PER_TICK + 3):
        await _save(driver.database, clock, f"s{number}")
    clock.advance(60)
    ticker = ScheduleTicker(driver.database, clock, Wakeup())
    assert [await ticker.tick() for _ in range(3)] == [MAX_SCHEDULES_PER_TICK, 3, 0]


async def test_a_run_that_goes_on_is_skipped_or_queued(driver: JobDriver) -> None:
    """While the last run is open, `skip` leaves a time out, and `queue` adds a run, which waits for its turn."""
    clock = ManualClock()
    skipping = await _save(driver.database, clock, "skipping", overlap=Overlap.SKIP)
    queueing = await _save(driver.database, clock, "queueing", overlap=Overlap.QUEUE)
    ticker = ScheduleTicker(driver.database, clock, Wakeup())
    for _ in range(3):
        clock.advance(60)
        await ticker.tick()
    assert len(await _list_times(driver.database, skipping)) == 1
    assert len(await _list_times(driver.database, queueing)) == 3
    async with driver.database.write() as connection:
        await connection.execute(update(JobRun).values(state=JobState.CANCELLED, ended_at=clock.now()))
    clock.advance(60)
    await ticker.tick()
    assert len(await _list_times(driver.database, skipping)) == 2


async def test_queued_runs_wait_for_those_ahead(driver: JobDriver, action: CountingAction) -> None:
    """Of the runs of one schedule the oldest goes first, and none begins while another is running."""
    schedule_id = generate_id()
    first = await driver.create_run(schedule_id=schedule_id, options={"total": 10})
    second = await driver.create_run(schedule_id=schedule_id, options={"total": 10})
    unrelated = await driver.create_run(options={"total": 10})
    entries = {entry.subject_id: entry for entry in await driver.claim()}
    for run in (second, unrelated):
        await driver.settle(await driver.process(entries[run.id]))
    assert (await driver.get_run(second.id)).state is JobState.QUEUED
    assert (await driver.get_run(unrelated.id)).state is JobState.SUCCEEDED
    async with driver.database.write() as connection:
        await connection.execute(update(JobRun).where(_run.id == second.id).values(state=JobState.RUNNING))
    await driver.settle(await driver.process(entries[first.id]))
    assert (await driver.get_run(first.id)).state is JobState.QUEUED
    driver.ahead += timedelta(minutes=1)
    await driver.work()
    driver.ahead += timedelta(minutes=1)
    await driver.work()
    assert {(await driver.get_run(run.id)).state for run in (first, second)} == {JobState.SUCCEEDED}


@pytest.mark.parametrize("overlap", list(Overlap))
async def test_missed_times_with_all_are_never_skipped(driver: JobDriver, overlap: Overlap) -> None:
    """With `all` each missed time gets its run, also more than one look begins, and though the runs are open."""
    clock = ManualClock()
    schedule = await _save(driver.database, clock, catch_up=CatchUp.ALL, overlap=overlap)
    clock.advance(50 * 60 + 30)
    await _tick_until_quiet([ScheduleTicker(driver.database, clock, Wakeup())])
    times = await _list_times(driver.database, schedule)
    start = ManualClock().now()
    expected = [start + number * MINUTE for number in range(1, 51)]
    assert times == (expected if overlap is Overlap.QUEUE else expected[:-1])  # the last one is not missed: skipped


async def test_what_a_person_does_between_look_and_write(driver: JobDriver) -> None:
    """A schedule that was moved, switched off or deleted after it was seen as due begins no run for its old time."""
    clock = ManualClock()
    names = ("moved", "off", "deleted", "kept", "tuned")
    saved = {name: await _save(driver.database, clock, name) for name in names}
    clock.advance(60)
    ticker = ScheduleTicker(driver.database, clock, Wakeup())
    due = await ticker._list_due(clock.now())
    assert sorted(due) == sorted(schedule.id for schedule in saved.values())
    actor = Actor(name="operator:test", at=clock.now())
    await _save(driver.database, clock, "moved", timing="0 9 * * *")
    await _save(driver.database, clock, "tuned", options={"total": 7})
    async with driver.database.write() as connection:
        await schedule_store.switch_schedule(connection, INSTANCE, "off", enabled=False, actor=actor)
        await schedule_store.delete_schedule(connection, INSTANCE, "deleted", actor=actor)
    begun = {}
    for name, schedule in saved.items():
        async with driver.database.write() as connection:
            begun[name] = await ticker._begin_runs(connection, schedule.id, clock.now())
    assert begun == {"moved": 0, "off": 0, "deleted": 0, "kept": 1, "tuned": 1}
    async with driver.database.read() as connection:
        (run,) = await job_store.list_runs(connection, job_store.JobFilter(schedule="tuned"), before=None, limit=5)
    assert run.options == {"total": 7, "zone": "UTC"}


async def test_a_change_that_commits_during_the_write_wins(postgres_installation: Installation) -> None:
    """On PostgreSQL a look that waits for a person's change begins no run with the old options."""
    clock = ManualClock()
    async with postgres_installation.open_parts() as parts:
        schedule = await _save(parts.database, clock)
        clock.advance(60)
        ticker = ScheduleTicker(parts.database, clock, Wakeup())

        async def is_waiting() -> bool:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            async with parts.database.read() as connection:
                return bool((await connection.execute(text(query))).scalar_one())

        async with parts.database.write() as connection:
            actor = Actor(name="operator:test", at=clock.now())
            request = replace(MINUTELY, options={"total": 9})
            await schedule_store.save_schedule(connection, INSTANCE, "nightly", request, ACTIONS, actor=actor)
            looking = asyncio.create_task(ticker.tick())
            await poll_until(is_waiting)
        assert await looking == 0
        assert await ticker.tick() == 1
        async with parts.database.read() as connection:
            options = (await connection.execute(select(_run.options).where(_run.schedule_id == schedule.id))).scalars()
            assert [row["total"] for row in options] == [9]


async def test_one_bad_schedule_stops_no_other(driver: JobDriver) -> None:
    """A schedule whose zone is gone is left alone for a minute; the others begin their runs."""
    clock = ManualClock()
    bad, good = await _save(driver.database, clock, "bad"), await _save(driver.database, clock, "good")
    async with driver.database.write() as connection:
        gone = update(Schedule).where(_schedule.id == bad.id)
        await connection.execute(gone.values(zone="Mars/Base"))
    ticker = ScheduleTicker(driver.database, clock, Wakeup())
    clock.advance(60)
    assert await ticker.tick() == 1
    assert await ticker._list_due(clock.now()) == []
    assert len(await _list_times(driver.database, good)) == 1
    async with driver.database.write() as connection:
        await connection.execute(update(Schedule).where(_schedule.id == bad.id).values(zone="UTC"))
    clock.advance(61)
    assert await ticker.tick() == 2


async def test_the_loop_outlives_errors_and_wakes_the_worker(driver: JobDriver) -> None:
    """The loop looks until it is stopped, wakes the worker when it has begun a run, and survives a lost database."""
    clock = ManualClock()
    schedule = await _save(driver.database, clock)
    clock.advance(60)
    woken = Wakeup()
    ticker = ScheduleTicker(driver.database, clock, woken)
    running = asyncio.create_task(ticker.run())
    assert await woken.wait(100)
    ticker.stop()
    await running
    assert len(await _list_times(driver.database, schedule)) == 1
    missing = Database("postgresql://nobody@127.0.0.1:1/nothing")
    away = ScheduleTicker(missing, clock, woken)
    running = asyncio.create_task(away.run())
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(running), 0.05)
    assert not running.done()
    away.stop()
    await running
    await missing.close()


async def test_built_in_schedules_exist_once_and_stay(driver: JobDriver) -> None:
    """The built-in schedules are created at the first look, keep the change of a person, and are not deleted."""
    clock = ManualClock()
    tickers = [ScheduleTicker(driver.database, clock, Wakeup(), built_in=frozenset({JobKind.PURGE})) for _ in range(3)]
    await asyncio.gather(*(ticker.tick() for ticker in tickers))
    async with driver.database.read() as connection:
        (purge,) = await schedule_store.list_schedules(connection, INSTANCE)
    assert (purge.name, purge.timing, purge.built_in, purge.next_at) == (
        "purge",
        "0 0 * * *",
        True,
        clock.now().replace(hour=0) + timedelta(days=1),
    )
    moved = await _save(driver.database, clock, "purge", kind=JobKind.PURGE, timing="0 3 * * *")
    assert (moved.built_in, moved.revision) == (True, 2)
    await ScheduleTicker(driver.database, clock, Wakeup(), built_in=frozenset({JobKind.PURGE})).tick()
    actor = Actor(name="operator:test", at=clock.now())
    async with driver.database.write() as connection:
        assert (await schedule_store.get_schedule(connection, INSTANCE, "purge")).timing == "0 3 * * *"
        with pytest.raises(BuiltInScheduleError):
            await schedule_store.delete_schedule(connection, INSTANCE, "purge", actor=actor)
        with pytest.raises(BuiltInScheduleError):
            await schedule_store.save_schedule(connection, INSTANCE, "purge", MINUTELY, ACTIONS, actor=actor)


async def test_a_paused_run_keeps_its_place(driver: JobDriver) -> None:
    """A paused run is still open: with `skip` its schedule begins no other until it is resumed or cancelled."""
    clock = ManualClock()
    await _save(driver.database, clock, overlap=Overlap.SKIP)
    ticker = ScheduleTicker(driver.database, clock, Wakeup())
    clock.advance(60)
    await ticker.tick()
    async with driver.database.write() as connection:
        ids = (await connection.execute(select(_run.id))).scalars().all()
        await job_control.pause_run(connection, ids[0], None, ACTIONS, actor=driver.build_actor())
    clock.advance(60)
    assert await ticker.tick() == 0
    async with driver.database.write() as connection:
        await job_control.cancel_run(connection, ids[0], None, ACTIONS, actor=driver.build_actor())
    clock.advance(60)
    assert await ticker.tick() == 1
    async with driver.database.read() as connection:
        count = (await connection.execute(select(func.count()).select_from(JobRun))).scalar_one()
    assert count == 2
