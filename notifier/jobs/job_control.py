"""What a person or caller does to a job run: cancel, pause, resume, retry. Each writes its own audit record.

The entry is locked before the run, as a step does it. So a change waits for the step under way, and the next step
finds no entry, or another state. `finish_stop` must follow the commit of a pause or cancellation.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor, AuditAction
from notifier.errors import NotifierError
from notifier.jobs import job_store
from notifier.jobs.job_action import JobAction, JobRunView
from notifier.outbox import entry_store
from notifier.states import JobKind, JobState

JobActions = Mapping[JobKind, JobAction]
"""The action of each kind of job."""
_ADVICE: Final = {
    JobState.CANCELLED: "a job that has ended cannot be cancelled",
    JobState.PAUSED: "only a queued or running job can be paused",
    JobState.QUEUED: "only a paused job can be resumed, and only a failed one retried",
}


class JobStateError(NotifierError):
    """The state of the job does not allow this."""

    def __init__(self, run: JobRunView, target: JobState) -> None:
        super().__init__(f"the job is {run.state}: {_ADVICE[target]}")


async def cancel_run(
    connection: AsyncConnection, id_: UUID, service_id: UUID | None, actions: JobActions, *, actor: Actor
) -> JobRunView:
    """Cancel a run after the step under way; a second cancel changes nothing. Raises `NotFoundError`, `JobStateError`.

    `service_id` None: a run of any owner.
    """
    run = await _lock_run(connection, id_, service_id)
    if run.state is JobState.CANCELLED:
        actor.record_no_change()
        return run
    await entry_store.withdraw_entries(connection, run.service_id, [id_])
    return await _set_state(connection, run, AuditAction.JOB_CANCELLED, JobState.CANCELLED, actions, actor)


async def pause_run(
    connection: AsyncConnection, id_: UUID, service_id: UUID | None, actions: JobActions, *, actor: Actor
) -> JobRunView:
    """Pause a run after the step under way; a second pause changes nothing. Raises as `cancel_run`."""
    run = await _lock_run(connection, id_, service_id)
    if run.state is JobState.PAUSED:
        actor.record_no_change()
        return run
    await entry_store.withdraw_entries(connection, run.service_id, [id_])
    return await _set_state(connection, run, AuditAction.JOB_PAUSED, JobState.PAUSED, actions, actor)


async def finish_stop(connection: AsyncConnection, run: JobRunView, actions: JobActions) -> None:
    """Finish a pause or cancellation, in a transaction after its commit: then nothing of the run begins any more."""
    if run.kind in actions:
        await actions[run.kind].finish_stop(connection, run)


async def resume_run(
    connection: AsyncConnection, id_: UUID, service_id: UUID | None, actions: JobActions, *, actor: Actor
) -> JobRunView:
    """Continue a paused run at its cursor. Raises as `cancel_run`."""
    run = await _lock_run(connection, id_, service_id)
    if run.state is not JobState.PAUSED:
        raise JobStateError(run, JobState.QUEUED)
    await job_store.enqueue_again(connection, run, actor.at)
    return await _set_state(connection, run, AuditAction.JOB_RESUMED, JobState.QUEUED, actions, actor)


async def retry_run(
    connection: AsyncConnection, id_: UUID, service_id: UUID | None, actions: JobActions, *, actor: Actor
) -> JobRunView:
    """Continue a failed run at its cursor. Raises as `cancel_run`."""
    run = await _lock_run(connection, id_, service_id)
    if run.state is not JobState.FAILED:
        raise JobStateError(run, JobState.QUEUED)
    await job_store.enqueue_again(connection, run, actor.at)
    return await _set_state(connection, run, AuditAction.JOB_RETRIED, JobState.QUEUED, actions, actor)


async def _set_state(
    connection: AsyncConnection,
    run: JobRunView,
    action: AuditAction,
    state: JobState,
    actions: JobActions,
    actor: Actor,
) -> JobRunView:
    line = f"{action.partition('.')[2]} by {actor.name}"
    changed = await job_store.set_state(connection, run, state, actor.at, line=line)
    if changed is None:
        raise JobStateError(run, state)
    if run.kind in actions:  # a run of a newer release can be stopped, too
        await actions[run.kind].follow_change(connection, changed, state, None)
    await _record(connection, action, run, changed, actor)
    return changed


async def _lock_run(connection: AsyncConnection, id_: UUID, service_id: UUID | None) -> JobRunView:
    run = await job_store.get_run(connection, id_, service_id)
    await job_store.queue_for_run(connection, id_)
    await entry_store.lock_entries(connection, run.service_id, [id_])
    return await job_store.get_run(connection, id_, service_id, lock=True)


async def _record(
    connection: AsyncConnection, action: AuditAction, before: JobRunView, after: JobRunView, actor: Actor
) -> None:
    record = audit.AuditRecord(
        action=action,
        object_id=before.id,
        service_id=before.service_id if before.service_id.int else None,
        before={"state": before.state},
        after={"state": after.state, "kind": after.kind},
    )
    await audit.write_audit_record(connection, record, actor)
