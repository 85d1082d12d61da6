"""Job runs and schedules of a restored backup do nothing a second time."""

from integration.jobs.saved_schedule import ACTIONS, MINUTE, list_times, save_schedule
from support.job_driver import JobDriver
from support.manual_clock import ManualClock

from notifier.audit import Actor
from notifier.jobs import job_store
from notifier.jobs.job_store import JobFilter
from notifier.jobs.schedule_ticker import ScheduleTicker
from notifier.outbox.wakeup import Wakeup
from notifier.states import JobKind, JobState
from notifier.status import restored_work
from notifier.status.restored_work import HeldWork


async def test_runs_are_paused_and_missed_times_left_out(driver: JobDriver) -> None:
    """An open run waits for a person, one without mail goes on, and a schedule continues with its next time."""
    clock = ManualClock()
    mailing = await save_schedule(driver.database, clock)
    await save_schedule(driver.database, clock, "purging", kind=JobKind.PURGE)
    ticker = ScheduleTicker(driver.database, clock, Wakeup())
    clock.advance(60)
    assert await ticker.tick() == 2
    begun = await list_times(driver.database, mailing)

    clock.advance(3600)
    async with driver.database.write() as connection:
        actor = Actor(name="operator:test", at=clock.now())
        held = await restored_work.hold_restored_work(connection, ACTIONS, actor=actor)
    assert held == HeldWork(mails=0, runs=1, schedules=2)
    assert await ticker.tick() == 0
    async with driver.database.read() as connection:
        runs = await job_store.list_runs(connection, JobFilter(), before=None, limit=10)
    assert {run.kind: run.state for run in runs} == {JobKind.NOTIFY: JobState.PAUSED, JobKind.PURGE: JobState.QUEUED}

    clock.advance(60)
    assert await ticker.tick() == 2
    assert await list_times(driver.database, mailing) == [*begun, begun[0] + 61 * MINUTE]
