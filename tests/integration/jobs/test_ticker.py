"""The ticker: rules for missed times and overlaps, changes by people, errors, and the built-in schedules."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from integration.jobs.saved_schedule import (
    ACTIONS,
    MINUTE,
    MINUTELY,
    list_times,
    save_schedule,
    tick_until_quiet,
)
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
from notifier.jobs.schedule_store import BuiltInScheduleError
from notifier.jobs.schedule_ticker import MAX_SCHEDULES_PER_TICK, ScheduleTicker
from notifier.outbox.wakeup import Wakeup
from notifier.states import JobKind, JobState

_run, _entry, _schedule = get_columns(JobRun), get_columns(OutboxEntry), get_columns(Schedule)


async def test_more_schedules_than_one_look_takes(driver: JobDriver) -> None:
    """Schedules that are due at the same second beyond the limit of one look come with the next."""
    clock = ManualClock()
    for number in range(MAX_SCHEDULES_PER_TICK + 3):
        await save_schedule(driver.database, clock, f"s{number}")
    clock.advance(60)
    ticker = ScheduleTicker(driver.database, clock, Wakeup())
    assert [await ticker.tick() for _ in range(3)] == [MAX_SCHEDULES_PER_TICK, 3, 0]


async def test_a_run_that_goes_on_is_skipped_or_queued(driver: JobDriver) -> None:
    """While the last run is open, `skip` leaves a time out, and `queue` adds a run, which waits for its turn."""
    clock = ManualClock()
    skipping = await save_schedule(driver.database, clock, "skipping", overlap=Overlap.SKIP)
    queueing = await save_schedule(driver.database, clock, "queueing", overlap=Overlap.QUEUE)
    ticker = ScheduleTicker(driver.database, clock, Wakeup())
    for _ in range(3):
        clock.advance(60)
        await ticker.tick()
    assert len(await list_times(driver.database, skipping)) == 1
    assert len(await list_times(driver.database, queueing)) == 3
    async with driver.database.write() as connection:
        await connection.execute(update(JobRun).values(state=JobState.CANCELLED, ended_at=clock.now()))
    clock.advance(60)
    await ticker.tick()
    assert len(await list_times(driver.database, skipping)) == 2


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
    schedule = await save_schedule(driver.database, clock, catch_up=CatchUp.ALL, overlap=overlap)
    clock.advance(50 * 60 + 30)
    await tick_until_quiet([ScheduleTicker(driver.database, clock, Wakeup())])
    times = await list_times(driver.database, schedule)
    start = ManualClock().now()
    expected = [start + number * MINUTE for number in range(1, 51)]
    assert times == (expected if overlap is Overlap.QUEUE else expected[:-1])  # the last one is not missed: skipped


async def test_what_a_person_does_between_look_and_write(driver: JobDriver) -> None:
    """A schedule that was moved, switched off or deleted after it was seen as due begins no run for its old time."""
    clock = ManualClock()
    names = ("moved", "off", "deleted", "kept", "tuned")
    saved = {name: await save_schedule(driver.database, clock, name) for name in names}
    clock.advance(60)
    ticker = ScheduleTicker(driver.database, clock, Wakeup())
    due = await ticker._list_due(clock.now())
    assert sorted(due) == sorted(schedule.id for schedule in saved.values())
    actor = Actor(name="operator:test", at=clock.now())
    await save_schedule(driver.database, clock, "moved", timing="0 9 * * *")
    await save_schedule(driver.database, clock, "tuned", options={"total": 7})
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
        schedule = await save_schedule(parts.database, clock)
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
    bad, good = await save_schedule(driver.database, clock, "bad"), await save_schedule(driver.database, clock, "good")
    async with driver.database.write() as connection:
        gone = update(Schedule).where(_schedule.id == bad.id)
        await connection.execute(gone.values(zone="Mars/Base"))
    ticker = ScheduleTicker(driver.database, clock, Wakeup())
    clock.advance(60)
    assert await ticker.tick() == 1
    assert await ticker._list_due(clock.now()) == []
    assert len(await list_times(driver.database, good)) == 1
    async with driver.database.write() as connection:
        await connection.execute(update(Schedule).where(_schedule.id == bad.id).values(zone="UTC"))
    clock.advance(61)
    assert await ticker.tick() == 2


async def test_the_loop_outlives_errors_and_wakes_the_worker(driver: JobDriver) -> None:
    """The loop looks until it is stopped, wakes the worker when it has begun a run, and survives a lost database."""
    clock = ManualClock()
    schedule = await save_schedule(driver.database, clock)
    clock.advance(60)
    woken = Wakeup()
    ticker = ScheduleTicker(driver.database, clock, woken)
    running = asyncio.create_task(ticker.run())
    assert await woken.wait(100)
    ticker.stop()
    await running
    assert len(await list_times(driver.database, schedule)) == 1
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
    moved = await save_schedule(driver.database, clock, "purge", kind=JobKind.PURGE, timing="0 3 * * *")
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
    await save_schedule(driver.database, clock, overlap=Overlap.SKIP)
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
