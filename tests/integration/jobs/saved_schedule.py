"""Schedules of the instance whose action counts, and the times for which runs exist."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from support.counting_action import CountingAction

from notifier.audit import Actor
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import INSTANCE, JobRun, get_columns
from notifier.errors import DatabaseUnavailableError
from notifier.job_states import Overlap
from notifier.jobs import schedule_store
from notifier.jobs.schedule_request import ScheduleRequest
from notifier.jobs.schedule_store import ScheduleView
from notifier.jobs.schedule_ticker import ScheduleTicker
from notifier.states import JobKind

ACTIONS = {JobKind.NOTIFY: CountingAction(), JobKind.PURGE: CountingAction()}
MINUTELY = ScheduleRequest(timing="every 1m", kind=JobKind.NOTIFY, overlap=Overlap.QUEUE)
MINUTE = timedelta(minutes=1)
_run = get_columns(JobRun)


async def save_schedule(
    database: Database, clock: Clock, name: str = "nightly", request: ScheduleRequest = MINUTELY, **changes: Any
) -> ScheduleView:
    """Save a schedule of the instance; `changes` are fields of the request."""
    async with database.write() as connection:
        actor = Actor(name="operator:test", at=clock.now())
        return await schedule_store.save_schedule(
            connection, INSTANCE, name, replace(request, **changes), ACTIONS, actor=actor
        )


async def list_planned(database: Database, schedule_id: UUID | None = None) -> list[tuple[UUID, datetime]]:
    """List the schedules and planned times of all runs, or of those of one schedule."""
    query = select(_run.schedule_id, _run.planned_at).order_by(_run.planned_at, _run.id)
    if schedule_id is not None:
        query = query.where(_run.schedule_id == schedule_id)
    async with database.read() as connection:
        return [(row.schedule_id, row.planned_at) for row in await connection.execute(query)]


async def list_times(database: Database, schedule: ScheduleView) -> list[datetime]:
    """List the planned times of a schedule's runs."""
    return [planned_at for _, planned_at in await list_planned(database, schedule.id)]


async def tick_until_quiet(tickers: Sequence[ScheduleTicker], chance: random.Random | None = None) -> None:
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
        for result in results:  # SQLite may still be locked by a look that was cancelled; the loop of a ticker goes on
            assert isinstance(result, int | asyncio.CancelledError | DatabaseUnavailableError), result
        if not cancelled and not any(results):
            return
