"""What a schedule says about its times that got no run, after a look of the ticker and on the command line."""

import asyncio
import json
from pathlib import Path

import pytest
from integration.jobs.saved_schedule import MINUTE, save_schedule, tick_until_quiet
from sqlalchemy import update
from support.job_driver import JobDriver
from support.manual_clock import ManualClock
from support.seeded_installation import Installation
from support.typed_commands import type_command

from notifier.db.engine import Database
from notifier.db.tables import INSTANCE, JobRun
from notifier.job_states import CatchUp, Overlap, SkipReason
from notifier.jobs import schedule_store
from notifier.jobs.schedule_ticker import ScheduleTicker
from notifier.outbox.wakeup import Wakeup
from notifier.states import JobState


async def _describe_skips(database: Database, name: str) -> tuple[object, ...]:
    async with database.read() as connection:
        stored = await schedule_store.get_schedule(connection, INSTANCE, name)
    return stored.last_skipped_at, stored.skipped_reason, stored.skipped_count


async def test_a_schedule_says_what_it_has_skipped(driver: JobDriver) -> None:
    """The last time without a run, its reason and the number stand in the schedule, and stay when it is changed."""
    clock = ManualClock()
    for name in ("one", "none", "all"):
        await save_schedule(driver.database, clock, name, overlap=Overlap.SKIP, catch_up=CatchUp(name))
    start = clock.now()
    ticker = ScheduleTicker(driver.database, clock, Wakeup())
    clock.advance(60)
    await ticker.tick()
    assert await _describe_skips(driver.database, "one") == (None, None, 0)
    clock.advance(60)
    await ticker.tick()
    for name in ("one", "none", "all"):
        assert await _describe_skips(driver.database, name) == (start + 2 * MINUTE, SkipReason.OVERLAP, 1)
    async with driver.database.write() as connection:
        await connection.execute(update(JobRun).values(state=JobState.CANCELLED, ended_at=clock.now()))
    clock.advance(4 * 60 - 1)
    await ticker.tick()
    assert await _describe_skips(driver.database, "one") == (start + 4 * MINUTE, SkipReason.CATCH_UP, 3)
    assert await _describe_skips(driver.database, "none") == (start + 4 * MINUTE, SkipReason.CATCH_UP, 3)
    assert await _describe_skips(driver.database, "all") == (start + 2 * MINUTE, SkipReason.OVERLAP, 1)
    changed = await save_schedule(driver.database, clock, "one", overlap=Overlap.QUEUE)
    assert (changed.skipped_reason, changed.skipped_count) == (SkipReason.CATCH_UP, 3)


async def test_a_skip_is_noted_only_with_the_move(driver: JobDriver) -> None:
    """If the transaction that moves the schedule is rolled back, the time counts as skipped only once."""
    clock = ManualClock()
    schedule = await save_schedule(driver.database, clock, catch_up=CatchUp.NONE)
    clock.advance(10 * 60 + 1)
    ticker = ScheduleTicker(driver.database, clock, Wakeup())
    async with driver.database.write() as connection:
        await ticker._begin_runs(connection, schedule.id, clock.now())
        await connection.rollback()
    await tick_until_quiet([ticker, ScheduleTicker(driver.database, clock, Wakeup())])
    assert await _describe_skips(driver.database, "nightly") == (
        schedule.created_at + 9 * MINUTE,
        SkipReason.CATCH_UP,
        9,
    )


async def test_the_command_shows_skipped_times(
    driver: JobDriver, installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A schedule that has left out a time says so; before, it has no such line."""
    monkeypatch.setenv("NOTIFIER_DATABASE_URL", installation.settings.effective_database_url)
    monkeypatch.setenv("NOTIFIER_DATA_DIR", str(tmp_path))
    clock = ManualClock()
    await save_schedule(driver.database, clock, catch_up=CatchUp.NONE)
    words = ("schedules", "show", "nightly")
    assert "skipped" not in (await asyncio.to_thread(type_command, *words)).stdout
    clock.advance(3 * 60 - 1)
    last = clock.now().replace(second=0)
    clock.advance(120)
    await ScheduleTicker(driver.database, clock, Wakeup()).tick()
    lines = (await asyncio.to_thread(type_command, *words)).stdout.splitlines()
    time = (last + MINUTE).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert f"skipped   3, the last one {time} by catch_up" in lines
    shown = json.loads((await asyncio.to_thread(type_command, *words, "--json")).stdout)
    assert (shown["last_skipped_at"], shown["skipped_reason"], shown["skipped_count"]) == (time, "catch_up", 3)
