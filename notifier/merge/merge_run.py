"""The run of a merge: each step writes the notifications of the next rows, until all have left the outbox.

The notifications, the cursor and the counts of a step are one transaction. So each valid row becomes one notification,
however often senders are killed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Batch, Merge, get_columns
from notifier.job_states import MergeState
from notifier.jobs.job_action import JobFailedError, JobRunView, StepContext, StepResult
from notifier.merge import merge_pace, merge_store
from notifier.merge.merge_check import MAX_KEPT_FAULTS, build_faulty_row
from notifier.merge.merge_context import LoadedMerge, MergeContext
from notifier.merge.merge_files import FilePlace
from notifier.merge.merge_pace import WRITTEN_MAILS, RunCursor
from notifier.merge.merge_view import FaultyRow, MergeView, OnDuplicate, StartOptions
from notifier.merge.row_validation import ValidatedRow
from notifier.spreadsheet.sheet_row import SpreadsheetError
from notifier.states import Status
from notifier.status import batch_pause
from notifier.status.batch_pause import ResumeStep
from notifier.submission.new_notification import (
    Idempotency,
    NewNotification,
    ValidationRules,
    ValidRequest,
    build_new_notification,
)
from notifier.submission.notification_writer import SubmissionResult, write_all_in_transaction
from notifier.submission.request_validation import compute_times

FULL_DELAY = timedelta(seconds=1)
"""Between two looks at an outbox that has enough mails of the merge."""
SOON = timedelta(seconds=60)
LATE_DELAY = timedelta(seconds=15)
"""The same while no mail is due soon, and after `FREQUENT_LOOKS` at the last mails."""
FREQUENT_LOOKS = 60
_batch, _merge = get_columns(Batch), get_columns(Merge)


@dataclass(frozen=True, kw_only=True)
class RunChunk:
    """What one step of a run is about to write; without rows it waits, or goes on with a resume."""

    view: MergeView
    options: StartOptions
    cursor: RunCursor  # after the step
    notifications: Sequence[NewNotification] = ()
    refused: Sequence[FaultyRow] = ()  # with faults that they did not have at the check
    counts: Mapping[str, int] = field(default_factory=dict)
    delay: timedelta = timedelta(0)
    has_ended: bool = False  # the last mail has left
    is_cancelled: bool = False  # with its batch


async def prepare_run(context: MergeContext, run: JobRunView, step: StepContext) -> RunChunk:
    """Read and validate the next rows, if there is room for their mails. Raises `JobFailedError`."""
    merge = await context.load_merge(run)
    options = merge.view.get_options()
    if options is None:
        raise JobFailedError("the merge was not started")
    cursor = RunCursor.from_json(run.cursor)
    chunk = RunChunk(view=merge.view, options=options, cursor=cursor)
    async with context.database.read() as connection:
        query = select(_batch.cancelled_at).where(_batch.id == merge.view.id)
        if (await connection.execute(query)).scalar_one_or_none() is not None:
            return replace(chunk, is_cancelled=True)
    if merge.view.release_after is not None:
        return chunk
    if cursor.is_read:
        return await _look_at_last(context, chunk)
    waiting = await _find_room(context, chunk, step.now, quota=context.get_quota(merge.caller))
    return waiting if waiting.delay else await _prepare_rows(context, run, merge, waiting, step.now)


async def _look_at_last(context: MergeContext, chunk: RunChunk) -> RunChunk:
    async with context.database.read() as connection:
        waiting = await batch_pause.count_waiting(connection, chunk.view.service_id, chunk.view.id)
    looks = chunk.cursor.looks + 1
    delay = timedelta(0) if not waiting else FULL_DELAY if looks < FREQUENT_LOOKS else LATE_DELAY
    cursor = replace(chunk.cursor, ahead=waiting, looks=looks)
    return replace(chunk, cursor=cursor, delay=delay, has_ended=not waiting)


async def _find_room(context: MergeContext, chunk: RunChunk, now: datetime, *, quota: int) -> RunChunk:
    """Wait for the rate limit, or until enough mails have left; without a delay the next rows may be written."""
    cursor = chunk.cursor
    if wait := merge_pace.get_quota_wait(cursor, quota, now):
        return replace(chunk, delay=timedelta(seconds=wait))
    if cursor.ahead + WRITTEN_MAILS <= merge_pace.MAX_AHEAD:
        return chunk
    async with context.database.read() as connection:
        ahead = await batch_pause.count_waiting(connection, chunk.view.service_id, chunk.view.id)
    chunk = replace(chunk, cursor=replace(cursor, ahead=ahead))
    if ahead + WRITTEN_MAILS <= merge_pace.MAX_AHEAD:
        return chunk
    is_early = chunk.options.send_at is not None and chunk.options.send_at > now + SOON
    return replace(chunk, delay=LATE_DELAY if is_early else FULL_DELAY)


async def _prepare_rows(
    context: MergeContext, run: JobRunView, merge: LoadedMerge, chunk: RunChunk, now: datetime
) -> RunChunk:
    cursor = chunk.cursor
    place = FilePlace(row=cursor.row, seen=cursor.seen)
    file = await context.open_file(run, merge, after=place, has_statistics=False)
    try:
        rows = await file.read_rows(WRITTEN_MAILS)
    except SpreadsheetError as error:
        await context.files.close_file(run.id)
        raise JobFailedError(str(error)) from error
    if not rows:
        await context.files.close_file(run.id)
        return replace(chunk, cursor=replace(cursor, is_read=True))
    validated = await context.validator.validate_rows(rows, file.mapping, merge.view, merge.caller, now)
    chosen, duplicates = await _choose_rows(context, chunk, validated)
    refused = [build_faulty_row(row) for row in validated if row.valid is None]
    notifications = _build_notifications(context.validator.rules, merge, chunk.options, chosen)
    skipped, mails = len(validated) - len(chosen) - duplicates, _count_mails(notifications)
    paid = merge_pace.pay_quota(cursor, context.get_quota(merge.caller), mails, now)
    return replace(
        chunk,
        cursor=replace(
            cursor,
            row=rows[-1].number,
            seen=cursor.seen + len(rows),
            ahead=cursor.ahead + mails,
            paid_until=paid,
        ),
        notifications=notifications,
        refused=refused,
        counts={"rows": len(rows), "written": len(chosen), "duplicates": duplicates, "faulty": skipped},
    )


async def _choose_rows(
    context: MergeContext, chunk: RunChunk, rows: Sequence[ValidatedRow]
) -> tuple[list[ValidatedRow], int]:
    """Choose the rows that are submitted; returns them, and how many are left out as duplicates.

    An address that the check did not record belongs to a row that had faults then: it is left out, as the start said.
    """
    hashes = list({row.address_hash for row in rows if row.address_hash is not None})
    async with context.database.read() as connection:
        first = await merge_store.find_first_rows(connection, chunk.view.id, hashes)
    checked = [row for row in rows if row.address_hash is not None and row.address_hash in first]
    if chunk.options.duplicates is OnDuplicate.ALL:
        return checked, 0
    chosen = [row for row in checked if row.address_hash and first[row.address_hash] == row.row.number]
    return chosen, len(checked) - len(chosen)


def _build_notifications(
    rules: ValidationRules, merge: LoadedMerge, options: StartOptions, rows: Sequence[ValidatedRow]
) -> list[NewNotification]:
    notifications: list[NewNotification] = []
    mails = 0
    for row in rows:
        if row.valid is None:
            continue
        valid = _set_send_at(row.valid, merge_pace.plan_send_at(merge.view, options, mails))
        digest = hashlib.sha256(msgspec.json.encode(row.row)).digest()
        key = Idempotency(key=f" merge {merge.view.id.hex} {row.row.number}", request_hash=digest)
        notifications.append(build_new_notification(valid, merge.caller, rules, key, merge.view.id))
        mails += notifications[-1].mail_count
    return notifications


def _count_mails(notifications: Sequence[NewNotification]) -> int:
    return sum(new.mail_count for new in notifications)


def _set_send_at(valid: ValidRequest, send_at: datetime | None) -> ValidRequest:
    """Set when a mail is due; a time that has passed means now."""
    if send_at is None or send_at <= valid.now:
        return valid
    request = replace(valid.request, send_at=send_at)
    times, _ = compute_times(request, valid.version, valid.now)
    return replace(valid, request=request, times=times)


async def apply_run(connection: AsyncConnection, run: JobRunView, chunk: RunChunk, now: datetime) -> StepResult:
    """Write what the step has prepared, with its counts."""
    merge_id = chunk.view.id
    if chunk.is_cancelled:
        return await _end_cancelled(connection, merge_id, now)
    if chunk.view.release_after is not None:
        return await _resume_entries(connection, chunk, now)
    if chunk.has_ended:
        return await _end_run(connection, chunk, now)
    counts = dict(chunk.counts)
    if chunk.notifications:
        if not await _count_written(connection, merge_id, len(chunk.notifications)):
            return await _end_cancelled(connection, merge_id, now)
        counts["suppressed"] = await _write_notifications(connection, chunk.notifications)
        paced = _merge.paced + _count_mails(chunk.notifications)
        await merge_store.update_merge(connection, merge_id, now, paced=paced)
    if chunk.refused and run.counts.get("faulty", 0) < MAX_KEPT_FAULTS:
        await merge_store.add_faults(connection, merge_id, chunk.refused)
    progress = 100 * chunk.cursor.seen // chunk.view.rows if chunk.view.rows else None
    return StepResult(cursor=asdict(chunk.cursor), counts=counts, progress=progress, delay=chunk.delay)


async def _count_written(connection: AsyncConnection, merge_id: UUID, written: int) -> bool:
    """Count rows in the batch; False if it was cancelled. It stays locked: a cancellation then finds these rows."""
    counted = (
        update(Batch)
        .where(_batch.id == merge_id, _batch.cancelled_at.is_(None))
        .values(written=_batch.written + written)
        .returning(_batch.id)
    )
    return (await connection.execute(counted)).first() is not None


async def _end_cancelled(connection: AsyncConnection, merge_id: UUID, now: datetime) -> StepResult:
    await merge_store.set_merge_state(connection, merge_id, MergeState.CANCELLED, now)
    return StepResult(is_done=True, log=["the batch of the merge was cancelled: no more rows are submitted"])


async def _write_notifications(connection: AsyncConnection, notifications: Sequence[NewNotification]) -> int:
    """Write the notifications; returns how many of them are suppressed."""
    suppressed = 0
    for result in await write_all_in_transaction(connection, notifications):
        if not isinstance(result, SubmissionResult) or result.replayed:
            # Impossible while the counts and the notifications are one transaction: nothing is written, and the run
            # fails, so that a person looks.
            raise JobFailedError("a row was submitted before, although its count says it was not")
        suppressed += result.status is Status.SUPPRESSED
    return suppressed


async def _resume_entries(connection: AsyncConnection, chunk: RunChunk, now: datetime) -> StepResult:
    """Make the next mails due that wait since the pause, spaced as they would have been."""
    view, interval = chunk.view, merge_pace.get_interval(chunk.options)
    if view.release_after is None:
        return StepResult()
    first_due = max(merge_pace.plan_send_at(view, chunk.options, 0) or now, now)
    step = ResumeStep(
        service_id=view.service_id,
        batch_id=view.id,
        after=view.release_after,
        first_due=first_due,
        interval=interval,
    )
    count, last = await batch_pause.resume_entries(connection, step)
    paced = _merge.paced + count
    await merge_store.update_merge(connection, view.id, now, release_after=last, paced=paced)
    return StepResult(cursor=asdict(replace(chunk.cursor, looks=0)), counts={"resumed": count})


async def _end_run(connection: AsyncConnection, chunk: RunChunk, now: datetime) -> StepResult:
    """Delete the file and the addresses, which nobody needs any more, step by step; then the merge has finished."""
    if await merge_store.tidy_merge(connection, chunk.view.id):
        return StepResult(cursor=asdict(chunk.cursor))
    await merge_store.set_merge_state(connection, chunk.view.id, MergeState.FINISHED, now)
    return StepResult(is_done=True, cursor=asdict(chunk.cursor), log=["all mails have left the queue"])
