"""The job that deletes what has been kept long enough: one kind of rows after the other, in short transactions.

Each step deletes about a hundred rows and rests twice as long as it took. When a step takes longer than `CALM_SECONDS`,
because the tables are large or the database is busy with claims and submits, the next one is half as large and rests
longer. A claim or a submit beside it waits for one short step at most.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.engine import Database
from notifier.jobs.job_action import JobAction, JobRunView, StepContext, StepInterruptedError, StepResult
from notifier.retention.batch_purge import BatchPurge
from notifier.retention.content_purge import ContentPurge
from notifier.retention.file_purge import AssetFilePurge, AttachmentPurge
from notifier.retention.file_space import FileSpace
from notifier.retention.notification_purge import NotificationPurge
from notifier.retention.purge_step import PurgePhase, PurgeStep
from notifier.retention.record_purge import AuditPurge, JobPurge
from notifier.retention.retention_policy import RetentionPolicy
from notifier.retention.webhook_purge import DeliveryPurge, EventPurge
from notifier.states import JobKind

FIRST_ROWS, MIN_ROWS = 100, 50
"""Rows that the first step examines, and the fewest that one is cut down to: a busy purge must come to an end."""
MAX_ROWS = 500
"""Rows that a step examines at most."""
CALM_SECONDS = 0.02
"""A step that takes longer makes the next one smaller."""
CALM_FACTOR, BUSY_FACTOR = 2.0, 4.0
"""How many times as long as a step took the purge rests after it: after a short one, and after one that took longer."""
MAX_REST_SECONDS = 0.1
REST_SLICE_SECONDS = 0.1
"""How soon a rest ends when this process stops."""


@dataclass(frozen=True, kw_only=True)
class _Cursor:
    """Where a run is, and at what pace."""

    phase: str
    limit: int
    after: str | None = None
    rest: float = 0.0  # seconds before the next step

    def adapt(self, seconds: float, max_limit: int) -> tuple[int, float]:
        """Return the limit and the rest that follow a step of this duration."""
        if seconds > CALM_SECONDS:
            return min(max(self.limit // 2, MIN_ROWS), max_limit), min(seconds * BUSY_FACTOR, MAX_REST_SECONDS)
        is_quick = seconds < CALM_SECONDS / 2
        return min(self.limit + self.limit // 4, max_limit) if is_quick else self.limit, seconds * CALM_FACTOR


class PurgeAction(JobAction):
    """Deletes what has been kept long enough."""

    kind = JobKind.PURGE

    def __init__(
        self,
        database: Database,
        policy: RetentionPolicy,
        *,
        max_limit: int = MAX_ROWS,
        more_phases: Sequence[PurgePhase] = (),
    ) -> None:
        self._policy = policy
        self._max_limit = max_limit  # rows that a step examines at most
        # Children first. A content goes before its notification, both before the files and batches that they name.
        phases = (
            ContentPurge(),
            DeliveryPurge(),
            EventPurge(),
            NotificationPurge(),
            *more_phases,  # of packages above this one
            JobPurge(),
            AuditPurge(),
            BatchPurge(),
            AttachmentPurge(database),
            AssetFilePurge(database),
            FileSpace(),
        )
        self._phases = {phase.name: phase for phase in phases}
        self._names = [phase.name for phase in phases]

    async def prepare(self, run: JobRunView, context: StepContext) -> Any:
        """Rest, and then read what the step needs."""
        cursor = self._read_cursor(run)
        left = cursor.rest
        while left > 0:
            if context.is_stopping():
                raise StepInterruptedError
            await asyncio.sleep(min(left, REST_SLICE_SECONDS))
            left -= REST_SLICE_SECONDS
        return await self._phases[cursor.phase].prepare(self._build_step(cursor, context))

    async def apply(
        self, connection: AsyncConnection, run: JobRunView, prepared: Any, context: StepContext
    ) -> StepResult:
        """Delete the next rows of the phase."""
        cursor = self._read_cursor(run)
        began = time.perf_counter()
        progress = await self._phases[cursor.phase].apply(connection, self._build_step(cursor, context), prepared)
        limit, rest = cursor.adapt(time.perf_counter() - began, self._max_limit)
        number = self._names.index(cursor.phase)
        is_over = progress.after is None
        if is_over and number + 1 == len(self._names):
            return StepResult(is_done=True, counts=_leave_out_zeros(progress.counts))
        phase = self._names[number + 1] if is_over else cursor.phase
        return StepResult(
            cursor={"phase": phase, "after": progress.after, "limit": limit, "rest": round(rest, 4)},
            counts=_leave_out_zeros(progress.counts),
            progress=100 * self._names.index(phase) // len(self._names),
        )

    def _read_cursor(self, run: JobRunView) -> _Cursor:
        """Read where the run is; it begins again after a release that has other phases."""
        if run.cursor is not None and run.cursor["phase"] in self._phases:
            return _Cursor(**run.cursor)
        return _Cursor(phase=self._names[0], limit=min(FIRST_ROWS, self._max_limit))

    def _build_step(self, cursor: _Cursor, context: StepContext) -> PurgeStep:
        return PurgeStep(now=context.now, policy=self._policy, after=cursor.after, limit=cursor.limit)


def _leave_out_zeros(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in counts.items() if number}
