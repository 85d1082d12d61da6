"""The job of the built-in schedule `statistics`: it counts the ranges that are due, some in each step."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.engine import Database
from notifier.jobs.job_action import JobAction, JobRunView, StepContext, StepResult
from notifier.states import JobKind
from notifier.statistics import roll_up


class StatisticsAction(JobAction):
    """Counts the ranges that were due when the run began."""

    kind = JobKind.STATISTICS

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self, run: JobRunView, context: StepContext) -> list[roll_up.CountedRange]:  # noqa: ARG002
        """Count some ranges, without a transaction."""
        return await roll_up.count_due_ranges(self._database, run.created_at)

    async def apply(
        self, connection: AsyncConnection, run: JobRunView, prepared: Any, context: StepContext
    ) -> StepResult:
        """Write the counts."""
        counted: list[roll_up.CountedRange] = prepared
        changed = await roll_up.write_counted_ranges(connection, counted, context.now)
        deleted = await roll_up.delete_old_ranges(connection, context.now) if run.cursor is None else 0
        return StepResult(
            is_done=not counted,
            cursor={"step": (run.cursor or {}).get("step", 0) + 1},
            counts={"ranges": len(counted), "changed": changed, "deleted_ranges": deleted},
        )
