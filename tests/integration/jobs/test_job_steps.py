"""The steps of a job run: each is one transaction, under the fence, and fails alone."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from support import counting_action
from support.counting_action import CountingAction, Gate
from support.job_driver import JobDriver

from notifier.db.tables import JobRun, OutboxEntry, get_columns
from notifier.errors import DatabaseUnavailableError
from notifier.jobs import job_handler
from notifier.jobs.job_action import JobFailedError, JobRunView, StepContext, StepResult
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import FinishEntry, LostClaim, ReleaseEntry, RescheduleEntry
from notifier.outbox.entry_store import LeaseSelection
from notifier.states import EntryKind, JobState

_entry = get_columns(OutboxEntry)


async def _count_entries(driver: JobDriver) -> int:
    async with driver.database.read() as connection:
        query = select(func.count()).where(_entry.kind == EntryKind.JOB)
        return int((await connection.execute(query)).scalar_one())


async def test_a_run_does_all_its_steps(driver: JobDriver) -> None:
    """A run succeeds with each row once, counts that equal the rows, a full progress, and no entry left."""
    run = await driver.create_run(options={"total": 95})
    assert (run.state, run.progress, await driver.work()) == (JobState.QUEUED, 0, 1)
    after = await driver.get_run(run.id)
    assert (after.state, after.progress, after.counts) == (JobState.SUCCEEDED, 100, {"rows": 95})
    assert await counting_action.list_numbers(driver.database, run.id) == list(range(95))
    assert after.started_at is not None
    assert after.ended_at is not None
    assert await _count_entries(driver) == 0


async def test_a_turn_ends_and_another_run_has_its_turn(driver: JobDriver, action: CountingAction) -> None:
    """A run that works longer than a turn is queued again at its cursor."""
    run = await driver.create_run(options={"total": 50})
    (entry,) = await driver.claim()
    before, job_handler.TURN_SECONDS = job_handler.TURN_SECONDS, 0.0
    try:
        settlement = await driver.process(entry)
    finally:
        job_handler.TURN_SECONDS = before
    assert isinstance(settlement.action, RescheduleEntry)
    assert (await driver.get_run(run.id)).counts == {"rows": 10}
    await driver.settle(settlement)
    await driver.work()
    assert await counting_action.list_numbers(driver.database, run.id) == list(range(50))


async def test_a_step_that_raises_is_tried_again_and_then_fails_the_run(
    driver: JobDriver, action: CountingAction
) -> None:
    """An unexpected error rolls its step back, is tried again with longer waits, and ends the run; retry goes on."""

    async def fail(number: int) -> None:
        if number == 20:
            raise ZeroDivisionError

    action.inside = fail
    run = await driver.create_run()
    for wait in job_handler.RETRY_WAITS:
        (entry,) = await driver.claim()
        settlement = await driver.process(entry)
        assert isinstance(settlement.action, RescheduleEntry)
        assert settlement.action.delay == wait
        await driver.settle(settlement)
        driver.ahead += wait + timedelta(seconds=1)
        assert (await driver.get_run(run.id)).state is JobState.RUNNING
    await driver.work()
    failed = await driver.get_run(run.id)
    assert (failed.state, failed.counts) == (JobState.FAILED, {"rows": 20})
    assert "ZeroDivisionError in the program" in str(failed.error)
    assert action.followed == [JobState.FAILED]
    assert await counting_action.list_numbers(driver.database, run.id) == list(range(20))
    assert await _count_entries(driver) == 0


async def test_a_step_that_succeeds_forgets_earlier_errors(driver: JobDriver, action: CountingAction) -> None:
    """Errors count in a row: a run with a single error at each of many steps ends well."""
    raised: set[int] = set()

    async def fail_once(number: int) -> None:
        if number not in raised:
            raised.add(number)
            raise ZeroDivisionError

    action.inside = fail_once
    run = await driver.create_run(options={"total": 100})
    for _ in range(len(range(0, 100, 10)) + 1):
        await driver.work()
        driver.ahead += timedelta(seconds=2)
    assert (await driver.get_run(run.id)).state is JobState.SUCCEEDED
    assert await counting_action.list_numbers(driver.database, run.id) == list(range(100))


async def test_a_job_that_cannot_go_on_says_why(driver: JobDriver, action: CountingAction) -> None:
    """`JobFailedError` ends the run at once with its reason, in the run and in its log."""

    async def give_up(number: int) -> None:
        if number == 10:
            raise JobFailedError("the feed has no rows")

    action.before = give_up
    run = await driver.create_run()
    await driver.work()
    failed = await driver.get_run(run.id)
    assert (failed.state, failed.error, failed.log[-1]["text"]) == (
        JobState.FAILED,
        "the feed has no rows",
        "the feed has no rows",
    )


async def test_without_a_database_the_step_waits(driver: JobDriver, action: CountingAction) -> None:
    """A database out of reach fails no run, however often; the step comes again after a second."""

    async def lose(_number: int) -> None:
        raise DatabaseUnavailableError

    action.inside = lose
    run = await driver.create_run()
    for _ in range(10):
        (entry,) = await driver.claim()
        settlement = await driver.process(entry)
        assert isinstance(settlement.action, RescheduleEntry)
        assert (settlement.action.delay, settlement.action.faults) == (job_handler.DATABASE_DELAY, 0)
        await driver.settle(settlement)
        driver.ahead += timedelta(seconds=2)
    assert (await driver.get_run(run.id)).state is JobState.QUEUED


async def test_a_stale_holder_writes_nothing(driver: JobDriver, action: CountingAction) -> None:
    """A process that sleeps in a step past its lease writes nothing once another has claimed the run."""
    gate = Gate(10)
    action.before = gate
    run = await driver.create_run()
    (stale,) = await driver.claim()
    sleeping = asyncio.create_task(driver.process(stale))
    await gate.reached.wait()
    async with driver.database.write() as connection:
        lost = LeaseSelection(kind=EntryKind.JOB, holder=driver.holder)
        assert await entry_store.rescue_unmarked(connection, lost) == 1
    other = JobDriver(driver.database, {action.kind: CountingAction()}, ahead=timedelta(seconds=1))
    (entry,) = await other.claim()
    gate.open.set()
    settlement = await sleeping
    assert not await driver.settle(settlement)
    assert await counting_action.list_numbers(driver.database, run.id) == list(range(10))
    await other.settle(await other.process(entry))
    assert await counting_action.list_numbers(driver.database, run.id) == list(range(50))
    assert (await driver.get_run(run.id)).counts == {"rows": 50}


async def test_what_was_prepared_for_another_place_is_prepared_again(driver: JobDriver, action: CountingAction) -> None:
    """If the cursor has moved since `prepare`, the step is prepared again at the new place."""
    gate = Gate(0)
    action.before = gate
    run = await driver.create_run()
    (entry,) = await driver.claim()
    working = asyncio.create_task(driver.process(entry))
    await gate.reached.wait()
    async with driver.database.write() as connection:  # as another holder of a second entry would
        await CountingAction().apply(connection, run, range(10), _build_context(driver))
        moved = {"cursor": {"next": 10}, "counts": {"rows": 10}, "state": JobState.RUNNING}
        await connection.execute(update(JobRun).values(moved))
    action.before = counting_action.do_nothing
    gate.open.set()
    await driver.settle(await working)
    assert await counting_action.list_numbers(driver.database, run.id) == list(range(50))
    assert (await driver.get_run(run.id)).counts == {"rows": 50}


def _build_context(driver: JobDriver) -> StepContext:
    return StepContext(now=driver.now, report_progress=lambda _percent: None, is_stopping=lambda: False)


async def test_a_committed_step_forgets_the_losses(driver: JobDriver, action: CountingAction) -> None:
    """A run that is killed at every step goes on for ever; one that is killed at the same step again and again fails.

    A committed step resets the number of losses.
    """
    run = await driver.create_run(options={"total": 30})
    selection = LeaseSelection(kind=EntryKind.JOB, holder=driver.holder)

    async def get_losses() -> int:
        async with driver.database.read() as connection:
            return int((await connection.execute(select(_entry.lost))).scalar_one())

    (entry,) = await driver.claim()
    async with driver.database.write() as connection:
        await entry_store.rescue_unmarked(connection, selection)
    assert await get_losses() == 1
    gate = Gate(10)
    action.before = gate
    driver.ahead += timedelta(seconds=1)
    (entry,) = await driver.claim()
    assert entry.lost == 1
    working = asyncio.create_task(driver.process(entry))
    await gate.reached.wait()
    assert await get_losses() == 0
    gate.open.set()
    await driver.settle(await working)
    assert (await driver.get_run(run.id)).state is JobState.SUCCEEDED


async def test_a_run_that_kills_its_senders_fails(driver: JobDriver, action: CountingAction) -> None:
    """A run lost too often at one step fails with a reason; if the record cannot be written, it is given back."""
    run = await driver.create_run()
    (entry,) = await driver.claim()
    lost = LostClaim(entry=entry, marked_at=None)
    async with driver.database.write() as connection:
        (unwritable,) = await driver.handler.recover_lost(connection, [replace(lost, unwritable=True)])
    assert isinstance(unwritable.action, ReleaseEntry)
    assert (await driver.get_run(run.id)).state is JobState.QUEUED
    async with driver.database.write() as connection:
        (ended,) = await driver.handler.recover_lost(connection, [lost])
    assert isinstance(ended.action, FinishEntry)
    failed = await driver.get_run(run.id)
    assert (failed.state, failed.error) == (JobState.FAILED, job_handler.LOST)
    assert action.followed == [JobState.FAILED]


async def test_a_stop_gives_the_run_back_after_its_step(driver: JobDriver, action: CountingAction) -> None:
    """A process that stops finishes its step, and gives the run back; another goes on at the cursor."""
    gate = Gate(10)
    action.before = gate
    run = await driver.create_run()
    (entry,) = await driver.claim()
    working = asyncio.create_task(driver.process(entry))
    await gate.reached.wait()
    driver.handler.close()
    assert driver.handler.get_capacity() == 0
    gate.open.set()
    settlement = await working
    assert isinstance(settlement.action, ReleaseEntry)
    await driver.settle(settlement)
    assert (await driver.get_run(run.id)).counts == {"rows": 20}
    await JobDriver(driver.database, driver.actions).work()
    assert await counting_action.list_numbers(driver.database, run.id) == list(range(50))


class _Waiting(CountingAction):
    """Does nothing until its second step, which it wants a minute later."""

    async def apply(
        self, connection: AsyncConnection, run: JobRunView, prepared: Any, context: StepContext
    ) -> StepResult:
        """Wait a minute after the first step."""
        if run.cursor is None:
            return StepResult(cursor={"next": 0}, delay=timedelta(minutes=1), progress=-5, log=["waits"])
        return StepResult(is_done=True, progress=1000)


async def test_a_step_may_ask_for_a_delay(driver: JobDriver) -> None:
    """After a step with a delay the run is due later, and its progress stays between 0 and 100."""
    slow = JobDriver(driver.database, {_Waiting.kind: _Waiting()})
    run = await slow.create_run()
    assert await slow.work() == 1
    waiting = await slow.get_run(run.id)
    assert (waiting.state, waiting.progress, waiting.log[-1]["text"]) == (JobState.RUNNING, 0, "waits")
    assert await slow.work() == 0
    slow.ahead = timedelta(seconds=61)
    assert await slow.work() == 1
    assert (await slow.get_run(run.id)).progress == 100


@pytest.mark.parametrize("percent", [-1, 0, 40, 100, 200])
async def test_progress_within_a_step_is_bounded(driver: JobDriver, action: CountingAction, percent: int) -> None:
    """What `prepare` reports from its thread is shown, never goes back, and never shows an end."""
    seen: list[int] = []

    async def report(number: int) -> None:
        if number == 0:
            run_now = await driver.get_run(run.id)
            context = driver.handler._build_context(run_now)
            await asyncio.to_thread(context.report_progress, percent)
            seen.append((await driver.get_run(run.id)).progress)

    action.before = report
    run = await driver.create_run()
    await driver.work()
    assert seen == [min(max(percent, 0), 99)]
