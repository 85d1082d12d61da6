"""What a job of one kind does: the interface between the job handler and the actions, and the values they exchange.

A step has two halves. `prepare` does slow work without a transaction, such as loading a document. `apply` writes, in
one transaction with the run's cursor and counts, and only while the fence of the entry holds. So a step that was lost
halfway has written nothing, and is done again from the same cursor.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.errors import Fault, NotifierError
from notifier.states import JobKind, JobState

STEP_SECONDS = 2.0
"""What a step may take; a cancellation waits as long."""


class JobFailedError(NotifierError):
    """The job cannot go on, and trying it again at once would not help."""


@dataclass(frozen=True, kw_only=True)
class JobRunView:
    """A job run as it is stored."""

    id: UUID
    service_id: UUID  # INSTANCE: of the instance
    kind: JobKind
    state: JobState
    schedule_id: UUID | None
    schedule_name: str | None
    planned_at: datetime | None  # the time of the schedule for which it runs
    subject_id: UUID | None  # what it is about: an image, a merge, a feed
    options: Mapping[str, Any]
    cursor: Mapping[str, Any] | None  # where the next step begins; None: at the beginning
    counts: Mapping[str, int]
    progress: int  # per cent
    log: Sequence[Mapping[str, Any]]  # the last lines: `at` and `text`
    error: str | None
    created_by: str
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """What a step may use beside its run."""

    now: datetime
    report_progress: Callable[[int], None]  # of the step itself, in per cent of the run; may be lost
    is_stopping: Callable[[], bool]  # True once this process stops: `prepare` then returns as soon as it can


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a step has done, which is written in its own transaction."""

    is_done: bool = False  # the run has succeeded
    cursor: Mapping[str, Any] | None = None  # where the next step begins
    counts: Mapping[str, int] = field(default_factory=dict)  # added to those of the run
    progress: int | None = None  # per cent; None: as before
    log: Sequence[str] = ()
    delay: timedelta = timedelta(0)  # before the next step


class StepInterruptedError(NotifierError):
    """This process stops; the step is given back and begins again in another process."""


class JobAction(ABC):
    """The action of one kind of job."""

    kind: ClassVar[JobKind]
    can_be_scheduled: ClassVar[bool] = True

    def find_option_faults(self, options: Mapping[str, Any], *, pointer: str) -> list[Fault]:
        """Find the faults in the options of a schedule; `pointer` is where they stand in the request."""
        return [Fault(f"{pointer}/{name}", "unknown_field", "this action has no such option") for name in options]

    async def find_owner_faults(
        self,
        connection: AsyncConnection,  # noqa: ARG002 - most need no more than the options
        service_id: UUID,  # noqa: ARG002
        options: Mapping[str, Any],  # noqa: ARG002
        *,
        pointer: str,  # noqa: ARG002
    ) -> list[Fault]:
        """Find the faults of options without other faults that depend on the owner and on what is stored."""
        return []

    async def prepare(self, run: JobRunView, context: StepContext) -> Any:  # noqa: ARG002 - most have nothing slow
        """Do the slow part of the next step, without a transaction; returns what `apply` gets as `prepared`.

        Raises `JobFailedError`, and `StepInterruptedError` when this process stops.
        """
        return None

    @abstractmethod
    async def apply(
        self, connection: AsyncConnection, run: JobRunView, prepared: Any, context: StepContext
    ) -> StepResult:
        """Do the step in this transaction, in much less than two seconds. Raises `JobFailedError`."""

    async def follow_change(  # noqa: B027 - most have nothing to write
        self, connection: AsyncConnection, run: JobRunView, state: JobState, error: str | None
    ) -> None:
        """Write what follows when the run was paused, queued again or cancelled, or has failed, in that transaction."""

    async def finish_stop(  # noqa: B027 - most have nothing under way outside their steps
        self, connection: AsyncConnection, run: JobRunView
    ) -> None:
        """Take back what was begun before a pause or cancellation was committed, in a transaction after that commit.

        The request is answered afterwards. It may be repeated.
        """
