"""The job of a merge: a run either checks the rows of the file, or submits them."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor
from notifier.job_states import MergeState
from notifier.jobs.job_action import JobAction, JobRunView, StepContext, StepResult
from notifier.merge import merge_check, merge_pace, merge_run, merge_store
from notifier.merge.merge_check import CheckedChunk
from notifier.merge.merge_context import MergeContext
from notifier.merge.merge_run import RunChunk
from notifier.merge.merge_view import MergeStep, MergeView
from notifier.states import JobKind, JobState
from notifier.status import batch_cancellation, batch_pause

_ERROR_LENGTH = 1000


class MergeAction(JobAction):
    """Checks or submits the rows of a merge."""

    kind = JobKind.MERGE
    can_be_scheduled = False

    def __init__(self, context: MergeContext) -> None:
        self._context = context

    async def prepare(self, run: JobRunView, context: StepContext) -> CheckedChunk | RunChunk:
        """Read and validate the next rows."""
        if _get_step(run) is MergeStep.CHECK:
            return await merge_check.prepare_check(self._context, run, context)
        return await merge_run.prepare_run(self._context, run, context)

    async def apply(
        self, connection: AsyncConnection, run: JobRunView, prepared: Any, context: StepContext
    ) -> StepResult:
        """Write what the check has found, or the notifications."""
        chunk: CheckedChunk | RunChunk = prepared
        if isinstance(chunk, CheckedChunk):
            return await merge_check.apply_check(connection, run, chunk, context.now)
        return await merge_run.apply_run(connection, run, chunk, context.now)

    async def follow_change(
        self, connection: AsyncConnection, run: JobRunView, state: JobState, error: str | None
    ) -> None:
        """Give the merge the state of its job; a pause and a cancellation also hold or withdraw what is queued."""
        merge = await merge_store.find_merge(connection, run.subject_id or UUID(int=0), lock=True)
        if merge is None or merge.state is MergeState.CANCELLED:  # a job that is retried does not revive it
            return
        now, is_run = run.updated_at, _get_step(run) is MergeStep.RUN
        match state:
            case JobState.PAUSED:
                await merge_store.set_merge_state(connection, merge.id, MergeState.PAUSED, now)
                if is_run:
                    await batch_pause.set_pause(connection, merge.id, now)
            case JobState.QUEUED:
                target = MergeState.RUNNING if is_run else MergeState.CHECKING
                await merge_store.update_merge(connection, merge.id, now, state=target, ended_at=None, error=None)
                if is_run and merge.state is MergeState.PAUSED:
                    await _resume_batch(connection, merge, run)
            case JobState.CANCELLED:
                await merge_store.set_merge_state(connection, merge.id, MergeState.CANCELLED, now)
                if is_run:
                    actor = Actor(name=f"job:{run.id}", at=now)
                    await batch_cancellation.stop_batch(connection, merge.service_id, merge.id, actor=actor)
            case _:
                await merge_store.set_merge_state(connection, merge.id, MergeState.FAILED, now)
                await merge_store.update_merge(connection, merge.id, now, error=(error or "")[:_ERROR_LENGTH])

    async def finish_stop(self, connection: AsyncConnection, run: JobRunView) -> None:
        """Take back the mails that senders have claimed and not begun."""
        if _get_step(run) is MergeStep.RUN and run.subject_id is not None:
            await batch_cancellation.release_claimed(connection, run.service_id, run.subject_id)


def _get_step(run: JobRunView) -> MergeStep:
    return MergeStep(run.options["step"])


async def _resume_batch(connection: AsyncConnection, merge: MergeView, run: JobRunView) -> None:
    """Let the queued mails go on: the next steps make them due. With a pace it begins anew, or with its first mail."""
    now, options = run.updated_at, merge.get_options()
    await batch_pause.set_pause(connection, merge.id, None)
    first = await batch_pause.find_first_mail(connection, merge.id)
    values: dict[str, Any] = {"release_after": UUID(int=first.int - 1) if first is not None else None}
    if options is not None and merge_pace.get_interval(options) is not None:
        values |= {"paced_from": max(now, options.send_at or now), "paced": 0}
    await merge_store.update_merge(connection, merge.id, now, **values)
