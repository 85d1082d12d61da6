"""Many schedules, and many who look: exactly one run for each planned time that the policy asks for."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from integration.jobs.saved_schedule import (
    MINUTE,
    list_planned,
    save_schedule,
    tick_until_quiet,
)
from sqlalchemy import select
from support.manual_clock import ManualClock
from support.seeded_installation import Installation

from notifier.db.engine import Database
from notifier.db.tables import JobRun, OutboxEntry, Schedule, get_columns
from notifier.job_states import CatchUp
from notifier.jobs.schedule_ticker import ScheduleTicker
from notifier.outbox.wakeup import Wakeup
from notifier.states import EntryKind

_run, _entry, _schedule = get_columns(JobRun), get_columns(OutboxEntry), get_columns(Schedule)
SEED = 20


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
        saved.append((minutes, await save_schedule(database, clock, f"s{number}", timing=timing, catch_up=catch_up)))
    expected = Counter[tuple[UUID, datetime]]()
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
        await tick_until_quiet(tickers, chance if look % 2 else None)
    assert Counter(await list_planned(database)) == expected
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
