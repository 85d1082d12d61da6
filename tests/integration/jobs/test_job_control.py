"""Cancel, pause, resume and retry of a job run, and races between them and its steps."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select
from support import counting_action
from support.counting_action import CountingAction, Gate
from support.job_driver import JobDriver
from support.seeded_installation import Installation

from notifier.db.tables import AuditEntry, OutboxEntry, get_columns
from notifier.errors import NotFoundError
from notifier.ids import generate_id
from notifier.job_states import ENDED_JOB_STATES, JOB_TRANSITIONS
from notifier.jobs import job_control
from notifier.jobs.job_action import JobFailedError, JobRunView, StepInterruptedError
from notifier.jobs.job_control import JobStateError
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import ClaimedEntry, FinishEntry
from notifier.states import EntryKind, JobState

_entry, _audit = get_columns(OutboxEntry), get_columns(AuditEntry)
Change = Callable[..., Awaitable[JobRunView]]
CHANGES: dict[str, Change] = {
    "cancel": job_control.cancel_run,
    "pause": job_control.pause_run,
    "resume": job_control.resume_run,
    "retry": job_control.retry_run,
}


async def _change(driver: JobDriver, id_: UUID, name: str, service_id: UUID | None = None) -> JobRunView:
    async with driver.database.write() as connection:
        return await CHANGES[name](connection, id_, service_id, driver.actions, actor=driver.build_actor())


async def _list_actions(driver: JobDriver) -> list[str]:
    async with driver.database.read() as connection:
        return [str(action) for action in (await connection.execute(select(_audit.action))).scalars()]


async def _count_entries(driver: JobDriver) -> int:
    async with driver.database.read() as connection:
        query = select(func.count()).where(_entry.kind == EntryKind.JOB)
        return int((await connection.execute(query)).scalar_one())


async def _begin(driver: JobDriver, action: CountingAction, at: int) -> tuple[JobRunView, "asyncio.Task[Any]", Gate]:
    """Begin a run, which stops in the preparation of the step with this first number."""
    gate = Gate(at)
    action.before = gate
    run = await driver.create_run()
    (entry,) = await driver.claim()
    working = asyncio.create_task(driver.process(entry))
    await gate.reached.wait()
    return run, working, gate


@pytest.mark.parametrize(("name", "state"), [("cancel", JobState.CANCELLED), ("pause", JobState.PAUSED)])
async def test_a_stop_while_a_step_is_prepared(
    driver: JobDriver, action: CountingAction, name: str, state: JobState
) -> None:
    """A cancelled or paused run writes nothing more, though a step was prepared; a second request changes nothing."""
    run, working, gate = await _begin(driver, action, 20)
    changed = await _change(driver, run.id, name)
    assert (changed.state, changed.counts, changed.log[-1]["text"]) == (
        state,
        {"rows": 20},
        f"{state.value} by operator:test",
    )
    assert (await _change(driver, run.id, name)).state is state
    gate.open.set()
    settlement = await working
    assert isinstance(settlement.action, FinishEntry)
    assert not await driver.settle(settlement)  # the entry went with the stop
    after = await driver.get_run(run.id)
    assert (after.state, after.counts) == (state, {"rows": 20})
    assert await counting_action.list_numbers(driver.database, run.id) == list(range(20))
    assert (await _count_entries(driver), await driver.work()) == (0, 0)
    assert action.followed == [state]
    assert await _list_actions(driver) == [f"job.{state.value}"]


async def test_a_stop_waits_for_the_step_that_is_being_written(driver: JobDriver, action: CountingAction) -> None:
    """A pause during the transaction of a step waits for its commit, and shows what it has written."""
    gate = Gate(10)
    action.inside = gate
    run = await driver.create_run()
    (entry,) = await driver.claim()
    working = asyncio.create_task(driver.process(entry))
    await gate.reached.wait()
    pausing = asyncio.create_task(_change(driver, run.id, "pause"))
    await asyncio.wait({pausing}, timeout=0.05)
    assert not pausing.done()
    gate.open.set()
    paused = await pausing
    await working
    rows = paused.counts["rows"]
    assert rows in (20, 30, 40)  # the handler may have begun another step before the pause got the lock
    assert await counting_action.list_numbers(driver.database, run.id) == list(range(rows))


async def test_resume_continues_and_the_old_holder_does_not(driver: JobDriver, action: CountingAction) -> None:
    """A run that was paused and resumed while a process slept in its step continues once, in another process."""
    run, working, gate = await _begin(driver, action, 20)
    await _change(driver, run.id, "pause")
    resumed = await _change(driver, run.id, "resume")
    assert (resumed.state, resumed.ended_at) == (JobState.QUEUED, None)
    other = JobDriver(driver.database, {action.kind: CountingAction()}, ahead=timedelta(seconds=1))
    (entry,) = await other.claim()
    gate.open.set()
    assert not await driver.settle(await working)
    assert await counting_action.list_numbers(driver.database, run.id) == list(range(20))
    await other.settle(await other.process(entry))
    assert await counting_action.list_numbers(driver.database, run.id) == list(range(50))
    assert (await driver.get_run(run.id)).counts == {"rows": 50}


async def test_two_resumes_at_once_make_one_entry(driver: JobDriver) -> None:
    """Of eight resumes at once one succeeds, and the run has one entry."""
    run = await driver.create_run()
    await _change(driver, run.id, "pause")
    results = await asyncio.gather(*(_change(driver, run.id, "resume") for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(result, JobRunView) for result in results) == 1
    assert {type(result) for result in results} == {JobRunView, JobStateError}
    assert await _count_entries(driver) == 1


async def test_a_retry_continues_at_the_step_that_failed(driver: JobDriver, action: CountingAction) -> None:
    """A failed run continues at its cursor; its first entry, which is not settled yet, is not worked on again."""

    async def give_up(number: int) -> None:
        if number == 30:
            raise JobFailedError("full")

    action.before = give_up
    run = await driver.create_run()
    (entry,) = await driver.claim()
    late = await driver.process(entry)  # its sender is killed before it settles
    assert (await driver.get_run(run.id)).error == "full"
    action.before = counting_action.do_nothing
    retried = await _change(driver, run.id, "retry")
    assert (retried.state, retried.error, retried.ended_at, retried.counts) == (
        JobState.QUEUED,
        None,
        None,
        {"rows": 30},
    )
    assert await _count_entries(driver) == 1
    driver.ahead += timedelta(seconds=1)
    await driver.work()
    assert not await driver.settle(late)
    assert await counting_action.list_numbers(driver.database, run.id) == list(range(50))
    assert (await driver.get_run(run.id)).state is JobState.SUCCEEDED


async def _put_into(driver: JobDriver, action: CountingAction, state: JobState) -> JobRunView:
    """Create a run in this state."""

    async def interrupt(number: int) -> None:
        if state is JobState.FAILED:
            raise JobFailedError("no")
        if state is JobState.RUNNING and number == 10:
            raise StepInterruptedError

    action.before = interrupt
    run = await driver.create_run(options={"total": 20})
    if state in (JobState.RUNNING, JobState.FAILED, JobState.SUCCEEDED):
        await driver.work()
    elif state is not JobState.QUEUED:
        await _change(driver, run.id, {JobState.PAUSED: "pause", JobState.CANCELLED: "cancel"}[state])
    run = await driver.get_run(run.id)
    assert run.state is state
    return run


_TARGETS = {"cancel": JobState.CANCELLED, "pause": JobState.PAUSED, "resume": JobState.QUEUED, "retry": JobState.QUEUED}
_SOURCES = {"resume": {JobState.PAUSED}, "retry": {JobState.FAILED}}


@pytest.mark.parametrize("state", list(JobState))
@pytest.mark.parametrize("name", list(CHANGES))
async def test_each_change_in_each_state(driver: JobDriver, action: CountingAction, name: str, state: JobState) -> None:
    """A change succeeds exactly where the table of transitions allows it, and is else refused with the state."""
    target = _TARGETS[name]
    sources = {source for source, to, _ in JOB_TRANSITIONS if to is target} & _SOURCES.get(name, set(JobState))
    run = await _put_into(driver, action, state)
    if state in sources or (state is target and name in ("cancel", "pause")):
        assert (await _change(driver, run.id, name)).state is target
        expected = 1 if target is JobState.QUEUED else 0
        assert await _count_entries(driver) == expected
        return
    with pytest.raises(JobStateError, match=f"the job is {state.value}"):
        await _change(driver, run.id, name)
    assert (await driver.get_run(run.id)).state is state
    assert (await _count_entries(driver) == 0) == (state in ENDED_JOB_STATES or state is JobState.PAUSED)


async def test_a_run_of_another_service_is_not_there(driver: JobDriver) -> None:
    """A service neither sees nor changes a run of another owner."""
    run = await driver.create_run()
    for name in CHANGES:
        with pytest.raises(NotFoundError):
            await _change(driver, run.id, name, generate_id())
        with pytest.raises(NotFoundError):
            await _change(driver, generate_id(), name)
    assert (await driver.get_run(run.id)).state is JobState.QUEUED


async def _race(driver: JobDriver, entry: ClaimedEntry, run: JobRunView, name: str, turns: int) -> None:
    """Work on the run, and change it after some turns of the event loop."""

    async def change_later() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await _change(driver, run.id, name)

    working = asyncio.create_task(driver.process(entry))
    results = await asyncio.gather(change_later(), return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), JobStateError}, results
    await driver.settle(await working)


@pytest.mark.parametrize("name", ["cancel", "pause"])
async def test_races_of_steps_and_stops(driver: JobDriver, name: str) -> None:
    """Whenever the stop comes, the rows are whole steps and equal the counts; a paused run continues to its end."""
    stopped = 0
    for round_ in range(25):
        run = await driver.create_run(options={"total": 60})
        driver.ahead += timedelta(seconds=1)
        (entry,) = await driver.claim()
        await _race(driver, entry, run, name, turns=7 * round_)
        after = await driver.get_run(run.id)
        numbers = await counting_action.list_numbers(driver.database, run.id)
        assert numbers == list(range(after.counts.get("rows", 0)))
        stopped += after.state in (JobState.CANCELLED, JobState.PAUSED)
        assert await _count_entries(driver) == 0
        if after.state is JobState.PAUSED:
            await _change(driver, run.id, "resume")
            driver.ahead += timedelta(seconds=1)
            await driver.work()
            assert await counting_action.list_numbers(driver.database, run.id) == list(range(60))
    assert stopped > 3


async def test_a_lock_is_held_until_the_commit(postgres_installation: Installation) -> None:
    """On PostgreSQL a step whose entry is being withdrawn waits, and then finds no entry: it writes nothing."""
    async with postgres_installation.open_parts() as parts:
        await counting_action.create_table(parts.database)
        action = CountingAction()
        driver = JobDriver(parts.database, {action.kind: action})
        run, working, gate = await _begin(driver, action, 10)
        async with parts.database.write() as connection:
            change = partial(job_control.pause_run, connection, run.id, None, driver.actions)
            await change(actor=driver.build_actor())
            gate.open.set()
            await asyncio.wait({working}, timeout=0.2)
            assert not working.done()
        await working
        assert await counting_action.list_numbers(parts.database, run.id) == list(range(10))
        async with parts.database.write() as connection:
            assert not await entry_store.withdraw_entries(connection, run.service_id, [run.id])
