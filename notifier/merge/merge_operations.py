"""What a person or caller does to a merge: upload, start, pause, resume, cancel. Each writes its own audit record.

Pause, resume and cancel act on the job of the merge, so that they are the same as through the routes of jobs.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor, AuditAction
from notifier.auth.authenticated_key import Caller
from notifier.db.tables import Batch
from notifier.errors import Fault, InvalidRequestError, NotFoundError
from notifier.ids import generate_id
from notifier.job_states import MergeState
from notifier.jobs import job_control, job_store
from notifier.jobs.job_action import JobRunView
from notifier.jobs.job_control import JobActions, JobStateError
from notifier.jobs.job_store import NewJobRun
from notifier.merge import merge_store
from notifier.merge.merge_view import (
    MergeHasFaultsError,
    MergeStateError,
    MergeStep,
    MergeView,
    NothingToMergeError,
    OnFaulty,
    StartOptions,
    TooManyMergesError,
)
from notifier.merge.row_request import list_fields
from notifier.states import JobKind
from notifier.status import batch_cancellation
from notifier.submission.new_notification import NotificationRequest
from notifier.submission.request_validation import MAX_FUTURE, compute_times
from notifier.templating.version_store import PublishedVersion

_START_ADVICE = {
    MergeState.CHECKING: "its rows are still being checked: wait until its state is checked",
    MergeState.PAUSED: "it is paused: resume it",
    MergeState.FAILED: "its job has failed: `error` says why",
    MergeState.CANCELLED: "it was cancelled: upload the file again",
}
_JobChange = Callable[..., Awaitable[JobRunView]]


@dataclass(frozen=True, kw_only=True)
class NewMerge:
    """A merge that is uploaded."""

    caller: Caller
    version: PublishedVersion  # to which the merge is bound
    overrides: Mapping[str, str]  # heading → field


@dataclass(frozen=True, kw_only=True)
class UploadedFile:
    """A file that was stored completely."""

    size: int  # bytes
    sha256: str  # hexadecimal


def find_override_faults(version: PublishedVersion, overrides: Mapping[str, str]) -> list[Fault]:
    """Find the fields of `map` that the template does not have."""
    names = [item.name for item in list_fields(version.variables_schema)]
    return [
        Fault("/query/map", "unknown_field", f"there is no field “{name}”; the fields are {', '.join(names[:50])}")
        for name in overrides.values()
        if name and name not in names
    ]


async def begin_upload(connection: AsyncConnection, new: NewMerge, *, actor: Actor) -> UUID:
    """Write a merge without its file; nobody sees it before `finish_upload`. Raises `TooManyMergesError`."""
    caller = new.caller
    await merge_store.delete_old_uploads(connection, caller.service_id, actor.at)
    if await merge_store.count_open_merges(connection, caller.service_id) >= merge_store.MAX_OPEN_MERGES:
        raise TooManyMergesError
    row = {
        "id": generate_id(),
        "service_id": caller.service_id,
        "state": MergeState.UPLOADING,
        "kind": caller.kind,
        "key_id": caller.key_id,
        "created_by": caller.actor_name,
        "created_at": actor.at,
        "updated_at": actor.at,
        "template": new.version.slug,
        "template_version": new.version.number,
        "overrides": dict(new.overrides),
    }
    await merge_store.insert_merge(connection, row | dict.fromkeys(_COUNTS, 0))
    return UUID(str(row["id"]))


_COUNTS = ("size", "rows", "valid", "faulty", "duplicates", "copies", "suppressed", "paced")


async def finish_upload(connection: AsyncConnection, merge_id: UUID, file: UploadedFile, *, actor: Actor) -> MergeView:
    """Begin the check of a merge whose file is complete. Raises `NotFoundError` if the upload was given up."""
    merge = await merge_store.find_merge(connection, merge_id, lock=True)
    if merge is None or merge.state is not MergeState.UPLOADING:
        raise NotFoundError("the upload took so long that it was given up: send the file again")
    run = await _create_run(connection, merge, MergeStep.CHECK, actor)
    values = {"state": MergeState.CHECKING, "size": file.size, "check_job_id": run.id}
    await merge_store.update_merge(connection, merge.id, actor.at, **values, info={"sha256": file.sha256})
    after = {"template": merge.template, "version": merge.template_version, "size": file.size}
    await _record(connection, AuditAction.MERGE_CREATED, merge, None, after, actor)
    return await _reload(connection, merge)


async def start_merge(
    connection: AsyncConnection, merge: MergeView, options: StartOptions, *, actor: Actor
) -> MergeView:
    """Submit the valid rows of a merge that was checked; `merge` is locked. A repeated start changes nothing.

    Raises `InvalidRequestError`, `MergeStateError`, `NothingToMergeError`, `MergeHasFaultsError`.
    """
    if merge.state is not MergeState.CHECKED:
        if merge.get_options() == options:
            actor.record_no_change()
            return merge
        advice = _START_ADVICE.get(merge.state, "it was started before, and a merge is started once")
        raise MergeStateError(f"the merge is {merge.state}: {advice}")
    count = merge.count_submitted(options)
    if faults := find_start_faults(options, count + merge.copies, actor):
        raise InvalidRequestError(faults)
    if not merge.valid:
        raise NothingToMergeError(
            f"none of the {merge.rows} rows can be submitted: see the faults, and correct the file"
        )
    if merge.faulty and options.on_error is OnFaulty.REJECT_ALL:
        detail = f"{merge.faulty} of {merge.rows} rows have faults"
        raise MergeHasFaultsError(f"{detail}: correct them and upload the file again, or start with skip_invalid")
    run = await _create_run(connection, merge, MergeStep.RUN, actor)
    batch = {
        "id": merge.id,
        "service_id": merge.service_id,
        "created_at": actor.at,
        "created_by": actor.name[:64],
        "size": count,
        "written": 0,
    }
    await connection.execute(insert(Batch).values(batch))
    values: dict[str, Any] = {
        "state": MergeState.RUNNING,
        "run_job_id": run.id,
        "start": options.build_json(),
        "started_by": actor.name[:64],
        "started_at": actor.at,
        "paced_from": max(options.send_at or actor.at, actor.at),
    }
    await merge_store.update_merge(connection, merge.id, actor.at, **values)
    after = {"state": MergeState.RUNNING, "rows": count} | options.build_json()
    await _record(connection, AuditAction.MERGE_STARTED, merge, {"state": merge.state}, after, actor)
    return await _reload(connection, merge)


def find_start_faults(options: StartOptions, count: int, actor: Actor) -> list[Fault]:
    """Find what is wrong with the times of a start that submits at most so many mails."""
    request = NotificationRequest(send_at=options.send_at)
    faults = [fault for fault in compute_times(request, None, actor.at)[1] if fault.pointer == "/send_at"]
    if faults or not options.per_minute:
        return faults
    begin = max(options.send_at or actor.at, actor.at)
    if begin + timedelta(minutes=count / options.per_minute) > actor.at + MAX_FUTURE:
        detail = f"{count} mails at {options.per_minute} a minute take until more than a year ahead: send them faster"
        return [Fault("/per_minute", "time_out_of_range", detail)]
    return []


async def pause_merge(connection: AsyncConnection, merge: MergeView, actions: JobActions, *, actor: Actor) -> MergeView:
    """Pause the check or the run, and hold the mails that are queued. Raises `MergeStateError`."""
    if merge.state not in (MergeState.CHECKING, MergeState.RUNNING, MergeState.PAUSED):
        raise MergeStateError(f"the merge is {merge.state}: only one that is being checked or running can be paused")
    return await _change_job(connection, merge, job_control.pause_run, AuditAction.MERGE_PAUSED, actions, actor)


async def resume_merge(
    connection: AsyncConnection, merge: MergeView, actions: JobActions, *, actor: Actor
) -> MergeView:
    """Continue a paused merge; the mails that were held are due again. Raises `MergeStateError`."""
    if merge.state is not MergeState.PAUSED:
        raise MergeStateError(f"the merge is {merge.state}: only a paused one can be resumed")
    return await _change_job(connection, merge, job_control.resume_run, AuditAction.MERGE_RESUMED, actions, actor)


async def cancel_merge(
    connection: AsyncConnection, merge: MergeView, actions: JobActions, *, actor: Actor
) -> MergeView:
    """Submit no more rows, and withdraw the mails that are queued; a second cancel changes nothing.

    Raises `MergeStateError`.
    """
    if merge.state is MergeState.CANCELLED:
        actor.record_no_change()
        return merge
    if merge.state is MergeState.FINISHED:
        raise MergeStateError("the merge has finished: all its mails have left the queue")
    if merge.state not in (MergeState.CHECKED, MergeState.FAILED):
        return await _change_job(connection, merge, job_control.cancel_run, AuditAction.MERGE_CANCELLED, actions, actor)
    locked = await merge_store.find_merge(connection, merge.id, lock=True)
    if locked is None or locked.state is not merge.state:
        raise MergeStateError("somebody has just changed the merge: look at it, and cancel it again")
    await merge_store.set_merge_state(connection, merge.id, MergeState.CANCELLED, actor.at)
    if merge.run_job_id is not None:  # its job has failed; what it has written is still queued
        await batch_cancellation.stop_batch(connection, merge.service_id, merge.id, actor=actor)
    before, after = {"state": merge.state}, {"state": MergeState.CANCELLED}
    await _record(connection, AuditAction.MERGE_CANCELLED, merge, before, after, actor)
    return await _reload(connection, merge)


async def finish_stop(connection: AsyncConnection, merge: MergeView) -> None:
    """Take back the mails that senders have claimed and not begun, in a transaction after a pause or cancellation.

    Then no body of the merge begins any more.
    """
    if merge.run_job_id is not None:
        await batch_cancellation.release_claimed(connection, merge.service_id, merge.id)


async def _change_job(
    connection: AsyncConnection,
    merge: MergeView,
    change: _JobChange,
    action: AuditAction,
    actions: JobActions,
    actor: Actor,
) -> MergeView:
    job_id = merge.run_job_id or merge.check_job_id
    try:
        await change(connection, job_id, merge.service_id, actions, actor=actor)
    except JobStateError as error:  # somebody else was first
        raise MergeStateError(str(error)) from error
    changed = await _reload(connection, merge)
    if changed.state is not merge.state:
        await _record(connection, action, merge, {"state": merge.state}, {"state": changed.state}, actor)
    return changed


async def _create_run(connection: AsyncConnection, merge: MergeView, step: MergeStep, actor: Actor) -> JobRunView:
    new = NewJobRun(
        service_id=merge.service_id,
        kind=JobKind.MERGE,
        created_by=actor.name,
        options={"step": step},
        subject_id=merge.id,
    )
    run = await job_store.create_run(connection, new, actor.at)
    if run is None:
        raise MergeStateError("the job of the merge exists already")
    return run


async def _reload(connection: AsyncConnection, merge: MergeView) -> MergeView:
    changed = await merge_store.find_merge(connection, merge.id)
    if changed is None:
        raise MergeStateError("the merge was deleted")
    return changed


async def _record(
    connection: AsyncConnection,
    action: AuditAction,
    merge: MergeView,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
    actor: Actor,
) -> None:
    record = audit.AuditRecord(
        action=action, object_id=merge.id, service_id=merge.service_id, before=before, after=after
    )
    await audit.write_audit_record(connection, record, actor)
