"""The outbox handler of job runs: it does one step after the other, each in a transaction of its own, under the fence.

A claim works for ten seconds at most and then queues the run again, so that the jobs of all services take turns.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.clock import Clock
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.job_states import ENDED_JOB_STATES
from notifier.jobs import job_store
from notifier.jobs.job_action import JobFailedError, JobRunView, StepContext, StepInterruptedError
from notifier.jobs.job_control import JobActions
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import (
    ClaimedEntry,
    FinishEntry,
    JournalNote,
    LostClaim,
    ReleaseEntry,
    RescheduleEntry,
    Settlement,
    WorkerContext,
)
from notifier.states import EntryKind, JobState
from notifier.telemetry.logging import get_logger

SLOTS = 4
"""Job runs at the same time in a process."""
LEASE = timedelta(minutes=5)
TURN_SECONDS = 10.0
"""What one claim may work; then other runs have their turn."""
PROGRESS_SECONDS = 5.0
"""How long writing the progress may take before the step goes on without it."""
OVERLAP_DELAY = timedelta(seconds=5)
RETRY_WAITS = (timedelta(seconds=1), timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2))
"""Waits after an unexpected error of a step; the next one ends the run."""
LOST = "the sender died each time that it ran this step; retry continues at the same place"
DATABASE_DELAY = timedelta(seconds=1)
UNKNOWN_KIND_DELAY = timedelta(seconds=30)
_Next = FinishEntry | RescheduleEntry | ReleaseEntry


@dataclass
class _Turn:
    """What one claim of a run has done so far."""

    steps: int = 0


class JobHandler:
    """The handler of job entries."""

    kind = EntryKind.JOB
    slots = SLOTS
    bodies = 1
    lease = LEASE
    still_wanted = "1 = 1"

    def __init__(self, database: Database, actions: JobActions, clock: Clock) -> None:
        self._database = database
        self._actions = actions
        self._clock = clock
        self._closing = False
        self._log = get_logger()

    # -- what the worker calls --------------------------------------------------------------------

    def get_capacity(self) -> int:
        """As many runs as there are slots."""
        return 0 if self._closing else self.slots

    async def process(self, batch: Sequence[ClaimedEntry], worker: WorkerContext) -> None:
        """Work on each of these runs for a turn."""

        async def work(entry: ClaimedEntry) -> None:
            worker.settle(Settlement(entry=entry, action=await self._work_for_a_turn(entry)))

        results = await asyncio.gather(*(work(entry) for entry in batch), return_exceptions=True)
        for error in results:  # after all have ended, because the worker gives the others back
            if error is not None:
                raise error

    async def record(self, _connection: StatementConnection, _settled: Sequence[Settlement]) -> None:
        """Record nothing: each step has written what it did."""

    async def recover_lost(self, connection: StatementConnection, lost: Sequence[LostClaim]) -> list[Settlement]:
        """Fail the runs that have killed their senders."""
        for loss in lost:
            if not loss.unwritable:  # else there is nothing to record: each step has written what it did
                await self._fail_lost_run(cast("AsyncConnection", connection), loss.entry.subject_id)
        return [
            Settlement(entry=loss.entry, action=ReleaseEntry() if loss.unwritable else FinishEntry()) for loss in lost
        ]

    async def replay(
        self, _connection: StatementConnection, _notes: Sequence[tuple[ClaimedEntry, JournalNote]]
    ) -> list[Settlement]:
        """Return nothing: there are no journal notes, and a step that was not committed is done again."""
        return []

    def close(self) -> None:
        """Stop after the current step; the run is queued again."""
        self._closing = True

    # -- the steps, in order ----------------------------------------------------------------------

    async def _work_for_a_turn(self, entry: ClaimedEntry) -> _Next:
        turn = _Turn()
        try:
            return await self._do_steps(entry, turn)
        except StepInterruptedError:
            return ReleaseEntry()
        except DatabaseUnavailableError as error:
            self._log.warning("job_waits_for_database", job_id=str(entry.subject_id), reason=error.reason)
            faults, fault = (0, None) if turn.steps else (entry.faults, entry.fault)
            return RescheduleEntry(delay=DATABASE_DELAY, attempts=entry.attempts, faults=faults, fault=fault)
        except JobFailedError as error:
            await self._fail_under_fence(entry, str(error))
            return FinishEntry()
        except Exception as error:  # noqa: BLE001 - whatever a step raises, only its own run fails
            return await self._decide_after_fault(entry, error, faults=0 if turn.steps else entry.faults)

    async def _do_steps(self, entry: ClaimedEntry, turn: _Turn) -> _Next:
        until = self._clock.monotonic() + TURN_SECONDS
        run = await self._load_run(entry)
        if run is not None and run.kind not in self._actions:  # of a newer release, whose senders are about to start
            return RescheduleEntry(delay=UNKNOWN_KIND_DELAY, attempts=entry.attempts)
        if run is not None and await self._must_wait(run):
            return RescheduleEntry(delay=OVERLAP_DELAY, attempts=entry.attempts)
        while run is not None and not self._closing:
            run, delay = await self._do_step(entry, run, turn)
            if run is not None and (delay or self._clock.monotonic() >= until):
                return RescheduleEntry(delay=delay, attempts=entry.attempts)
        return FinishEntry() if run is None else ReleaseEntry()

    async def _load_run(self, entry: ClaimedEntry) -> JobRunView | None:
        """Load the run; None if it must not go on."""
        async with self._database.read() as connection:
            run = await job_store.find_run(connection, entry.subject_id)
        return run if run is not None and run.state in (JobState.QUEUED, JobState.RUNNING) else None

    async def _must_wait(self, run: JobRunView) -> bool:
        """Whether another run of the same schedule goes first: asked before slow work, and again under a lock."""
        async with self._database.read() as connection:
            return await job_store.has_run_ahead(connection, run)

    async def _do_step(self, entry: ClaimedEntry, run: JobRunView, turn: _Turn) -> tuple[JobRunView | None, timedelta]:
        """Do one step; returns the run if it goes on, and after which delay."""
        action, context = self._actions[run.kind], self._build_context(run)
        prepared = await action.prepare(run, context)
        async with self._database.write() as connection:
            locked = await self._lock_run(connection, entry)
            if locked is None:
                return None, timedelta(0)
            if (locked.cursor, locked.counts) != (run.cursor, run.counts):
                return locked, timedelta(0)  # what was prepared belongs to another place
            if await job_store.has_run_ahead(connection, locked, lock=True):
                return locked, OVERLAP_DELAY
            result = await action.apply(connection, locked, prepared, context)
            after = await job_store.write_step(connection, locked, result, self._clock.now())
            if entry.lost and not turn.steps:
                await entry_store.clear_losses(connection, entry)  # so that a long run survives any number of kills
        turn.steps += 1
        if after is None or after.state in ENDED_JOB_STATES:
            return None, timedelta(0)
        return after, result.delay

    async def _lock_run(self, connection: AsyncConnection, entry: ClaimedEntry) -> JobRunView | None:
        """Lock the entry and its run; None if the lease was lost, or the run must not go on."""
        await job_store.queue_for_run(connection, entry.subject_id)
        if not await entry_store.lock_claim(connection, entry):
            return None
        run = await job_store.find_run(connection, entry.subject_id, lock=True)
        return run if run is not None and run.state in (JobState.QUEUED, JobState.RUNNING) else None

    def _build_context(self, run: JobRunView) -> StepContext:
        loop = asyncio.get_running_loop()

        def report(percent: int) -> None:
            with suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(self._write_progress(run.id, percent), loop).result(PROGRESS_SECONDS)

        return StepContext(now=self._clock.now(), report_progress=report, is_stopping=lambda: self._closing)

    async def _write_progress(self, id_: UUID, percent: int) -> None:
        with suppress(DatabaseUnavailableError):
            async with self._database.write() as connection:
                await job_store.raise_progress(connection, id_, percent)

    # -- when a step fails ------------------------------------------------------------------------

    async def _decide_after_fault(self, entry: ClaimedEntry, error: Exception, *, faults: int) -> _Next:
        """Try again a few times, with the same cursor; then fail the run. `faults`: how many tries of it failed."""
        reason = f"{type(error).__name__} in the program; the log has the details"
        self._log.exception("job_step_failed", job_id=str(entry.subject_id), error=type(error).__name__)
        if faults >= len(RETRY_WAITS):
            await self._fail_under_fence(entry, f"{reason}. Retry continues at the same place")
            return FinishEntry()
        wait = RETRY_WAITS[faults]
        async with self._database.write() as connection:
            run = await self._lock_run(connection, entry)
            if run is not None:
                line = f"{reason}; next try in {wait.total_seconds():g} s"
                await job_store.add_log_lines(connection, run, [line], self._clock.now())
        return RescheduleEntry(delay=wait, attempts=entry.attempts, faults=faults + 1, fault=type(error).__name__[:255])

    async def _fail_under_fence(self, entry: ClaimedEntry, reason: str) -> None:
        async with self._database.write() as connection:
            run = await self._lock_run(connection, entry)
            if run is not None:
                await self._fail_run(connection, run, reason)

    async def _fail_lost_run(self, connection: AsyncConnection, id_: UUID) -> None:
        run = await job_store.find_run(connection, id_, lock=True)
        if run is not None and run.state in (JobState.QUEUED, JobState.RUNNING):
            await self._fail_run(connection, run, LOST)

    async def _fail_run(self, connection: AsyncConnection, run: JobRunView, reason: str) -> None:
        self._log.warning("job_failed", job_id=str(run.id), job_kind=run.kind, reason=reason)
        await job_store.fail_run(connection, run, reason, self._clock.now())
        if run.kind in self._actions:
            await self._actions[run.kind].follow_change(connection, run, JobState.FAILED, reason)
