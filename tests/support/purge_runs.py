"""Runs a purge to its end, step by step as the job handler does, at a time of the test's own."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

from notifier.db.engine import Database
from notifier.db.tables import INSTANCE
from notifier.ids import generate_id
from notifier.jobs.job_action import JobRunView, StepContext, StepResult
from notifier.retention.purge_action import PurgeAction
from notifier.retention.retention_policy import RetentionPolicy
from notifier.states import JobKind, JobState


def build_run(now: datetime) -> JobRunView:
    """Build a run that has not begun."""
    return JobRunView(
        id=generate_id(),
        service_id=INSTANCE,
        kind=JobKind.PURGE,
        state=JobState.QUEUED,
        schedule_id=None,
        schedule_name=None,
        planned_at=None,
        subject_id=None,
        options={},
        cursor=None,
        counts={},
        progress=0,
        log=(),
        error=None,
        created_by="test",
        created_at=now,
        started_at=None,
        updated_at=now,
        ended_at=None,
    )


def build_context(now: datetime) -> StepContext:
    """Build the context of a step at this time."""
    return StepContext(now=now, report_progress=lambda _: None, is_stopping=lambda: False)


async def iterate_steps(
    database: Database, policy: RetentionPolicy, now: datetime, action: PurgeAction | None = None
) -> AsyncIterator[StepResult]:
    """Do the steps of a purge, and yield the result of each after its commit."""
    action = action or PurgeAction(database, policy)
    run = build_run(now)
    context = build_context(now)
    while True:
        prepared = await action.prepare(run, context)
        async with database.write() as connection:
            result = await action.apply(connection, run, prepared, context)
        yield result
        if result.is_done:
            return
        run = replace(run, cursor=result.cursor)


async def run_purge(database: Database, policy: RetentionPolicy, now: datetime) -> Counter[str]:
    """Run a purge to its end; returns how many rows of each kind it deleted."""
    counts: Counter[str] = Counter()
    async for result in iterate_steps(database, policy, now):
        counts.update(result.counts)
    return counts
