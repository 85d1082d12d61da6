"""Many schedules, and an independent calculation of the times for which their runs must exist."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from integration.jobs.saved_schedule import MINUTE, list_planned, save_schedule
from sqlalchemy import select

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import JobRun, OutboxEntry, get_columns
from notifier.job_states import CatchUp
from notifier.jobs.schedule_store import ScheduleView
from notifier.states import EntryKind

ADVANCES = (60, 60, 60, 70, 200)
"""By how many seconds a test advances its clock: on time, late, and so late that times were missed."""
_run, _entry = get_columns(JobRun), get_columns(OutboxEntry)


class ExpectedRuns:
    """Counts the planned times of schedules from look to look, and chooses those that get a run."""

    def __init__(self, schedules: Sequence[tuple[int, ScheduleView]], now: datetime) -> None:
        self.planned = 0  # times that came, with or without a run
        self._schedules = schedules  # with their periods in minutes
        self._runs = Counter[tuple[UUID, datetime]]()
        self._seen = now

    def add_look(self, now: datetime) -> None:
        """Add what is due at a look at all schedules."""
        start, span = self._seen.replace(second=0, microsecond=0), (now - self._seen) // MINUTE + 2
        minutes = [time for time in (start + number * MINUTE for number in range(span)) if self._seen < time <= now]
        for period, schedule in self._schedules:
            due = [time for time in minutes if time.timestamp() % (60 * period) == 0]
            self.planned += len(due)
            self._runs.update((schedule.id, time) for time in _choose_times(schedule.catch_up, due, now))
        self._seen = now

    async def check(self, database: Database) -> int:
        """Check that exactly these runs exist, each with one entry in the outbox; return how many."""
        runs = Counter(await list_planned(database))
        missing, unwanted = self._runs - runs, runs - self._runs
        assert not missing, f"planned times without their run: {missing}"
        assert not unwanted, f"runs that nobody asked for, or one too many: {unwanted}"
        async with database.read() as connection:
            entries = (
                await connection.execute(select(_entry.subject_id).where(_entry.kind == EntryKind.JOB))
            ).scalars()
            ids = (await connection.execute(select(_run.id))).scalars()
            assert sorted(entries) == sorted(ids), "a run has no entry, or more than one"
        return runs.total()


def _choose_times(catch_up: CatchUp, due: Sequence[datetime], now: datetime) -> Sequence[datetime]:
    """Choose which of the times that are due at this look get a run, by the rule."""
    if catch_up is CatchUp.ALL:
        return due
    return due[-1:] if due and (catch_up is CatchUp.ONE or now - due[-1] <= MINUTE) else []


async def save_many_schedules(database: Database, clock: Clock, count: int) -> ExpectedRuns:
    """Save schedules of one and two minutes with each rule for missed times."""
    saved = []
    for number in range(count):
        catch_up, period = list(CatchUp)[number % 3], 1 + number % 2
        schedule = await save_schedule(database, clock, f"s{number}", timing=f"every {period}m", catch_up=catch_up)
        saved.append((period, schedule))
    return ExpectedRuns(saved, clock.now())
