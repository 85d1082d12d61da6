"""A job that inserts numbered rows: a number that is missing or twice shows a step that was lost or done again."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.engine import Database
from notifier.errors import Fault
from notifier.jobs.job_action import JobAction, JobRunView, StepContext, StepResult
from notifier.states import JobKind, JobState

CREATE_TABLE = text("CREATE TABLE IF NOT EXISTS counted_row (run_id VARCHAR(32), number INTEGER)")
_INSERT = text("INSERT INTO counted_row (run_id, number) VALUES (:run_id, :number)")
_NUMBERS = text("SELECT number FROM counted_row WHERE run_id = :run_id ORDER BY number")
Hook = Callable[[int], Awaitable[None]]


async def do_nothing(_number: int) -> None:
    """Do nothing before or in a step."""


class CountingAction(JobAction):
    """Inserts the numbers from 0 to the option `total`, some in each step."""

    kind = JobKind.NOTIFY

    def __init__(self, *, per_step: int = 10, before: Hook = do_nothing, inside: Hook = do_nothing) -> None:
        self.per_step = per_step
        self.before = before  # called in `prepare` with the step's first number
        self.inside = inside  # called in `apply`, when the rows are inserted and not committed
        self.followed: list[JobState] = []

    def find_option_faults(self, options: Mapping[str, Any], *, pointer: str) -> list[Fault]:
        """Take only `total`, a whole number."""
        faults = [Fault(f"{pointer}/{name}", "unknown_field", "no such option") for name in options if name != "total"]
        if not isinstance(options.get("total", 1), int):
            faults.append(Fault(f"{pointer}/total", "wrong_type", "a whole number is expected"))
        return faults

    async def prepare(self, run: JobRunView, context: StepContext) -> range:
        """Choose the numbers of the step."""
        first, total = _get_next(run), int(run.options.get("total", 50))
        await self.before(first)
        return range(first, min(first + self.per_step, total))

    async def apply(
        self, connection: AsyncConnection, run: JobRunView, prepared: Any, context: StepContext
    ) -> StepResult:
        """Insert the rows that were prepared."""
        numbers: range = prepared
        rows = [{"run_id": run.id.hex, "number": number} for number in numbers]
        if rows:
            await connection.execute(_INSERT, rows)
        await self.inside(numbers.start)
        total = int(run.options.get("total", 50))
        return StepResult(
            is_done=numbers.stop >= total,
            cursor={"next": numbers.stop},
            counts={"rows": len(rows)},
            progress=100 * numbers.stop // max(total, 1),
        )

    async def follow_change(
        self, connection: AsyncConnection, run: JobRunView, state: JobState, error: str | None
    ) -> None:
        """Remember the changes."""
        self.followed.append(state)


def _get_next(run: JobRunView) -> int:
    return int((run.cursor or {"next": 0})["next"])


async def create_table(database: Database) -> None:
    """Create the table of the rows."""
    async with database.write() as connection:
        await connection.execute(CREATE_TABLE)


async def list_numbers(database: Database, run_id: UUID) -> list[int]:
    """List the numbers that a run has inserted, in order."""
    async with database.read() as connection:
        return list((await connection.execute(_NUMBERS, {"run_id": run_id.hex})).scalars())


class Gate:
    """A hook that stops at one number until the test lets it go on."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, number: int) -> None:
        if number == self._number:
            self.reached.set()
            await self.open.wait()
