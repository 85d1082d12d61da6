"""The rows of job runs: create, read, lock, write a step, end. Nothing here commits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import insert_if_absent, is_sqlite
from notifier.db.direct_connections import StatementConnection
from notifier.db.tables import JobRun, Schedule, get_columns
from notifier.errors import NotFoundError
from notifier.ids import generate_id
from notifier.job_states import ENDED_JOB_STATES, get_source_states
from notifier.jobs.job_action import JobRunView, StepResult
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import NewEntry
from notifier.states import EntryKind, JobKind, JobState, Priority

MAX_LOG_LINES = 100
"""Lines of the log of a run that are kept; older ones are dropped."""
_LOG_TEXT_LENGTH = 500
_ERROR_LENGTH = 1000
_QUEUE_FOR_RUN = text("SELECT pg_advisory_xact_lock(:key)")
_run, _schedule = get_columns(JobRun), get_columns(Schedule)
_VIEW_COLUMNS = [_run[name] for name in JobRunView.__dataclass_fields__]


@dataclass(frozen=True, kw_only=True)
class NewJobRun:
    """A run to be created."""

    service_id: UUID
    kind: JobKind
    created_by: str  # an actor
    options: Mapping[str, Any] = field(default_factory=dict)
    subject_id: UUID | None = None
    schedule_id: UUID | None = None
    schedule_name: str | None = None
    planned_at: datetime | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which runs are listed; None: any."""

    service_id: UUID | None = None
    kind: JobKind | None = None
    state: JobState | None = None
    schedule: str | None = None
    subject_id: UUID | None = None


async def create_run(connection: AsyncConnection, new: NewJobRun, now: datetime) -> JobRunView | None:
    """Write a run with its entry; None if there is a run for this planned time, or with this key."""
    row = vars(new) | {
        "id": generate_id(),
        "state": JobState.QUEUED,
        "options": dict(new.options),
        "counts": {},
        "progress": 0,
        "log": [],
        "created_at": now,
        "updated_at": now,
    }
    present = {name: value for name, value in row.items() if value is not None}  # None would be JSON's null
    if not await insert_if_absent(connection, JobRun, present):
        return None
    await enqueue_run(connection, row["id"], new.service_id, now)
    return JobRunView(**{name: row.get(name) for name in JobRunView.__dataclass_fields__})  # type: ignore[arg-type]


async def enqueue_again(connection: AsyncConnection, run: JobRunView, due_at: datetime) -> None:
    """Write a new entry of a run. An old one that its sender has not settled yet goes, or both would be worked on."""
    await entry_store.withdraw_entries(connection, run.service_id, [run.id])
    await enqueue_run(connection, run.id, run.service_id, due_at)


async def enqueue_run(connection: AsyncConnection, id_: UUID, service_id: UUID, due_at: datetime) -> None:
    """Write the entry of a run."""
    entry = NewEntry(
        id=generate_id(),
        kind=EntryKind.JOB,
        subject_id=id_,
        service_id=service_id,
        priority=Priority.NORMAL,
        due_at=due_at,
    )
    await entry_store.enqueue_entries(connection, [entry])


async def queue_for_run(connection: AsyncConnection, id_: UUID) -> None:
    """Wait for those who came before, and keep others from changing the run until this transaction ends.

    PostgreSQL gives an advisory lock to whoever waits longest. A row lock may be taken by the next step before a pause
    that has waited for the last one. SQLite has one writer at a time.
    """
    if not is_sqlite(connection):
        key = int.from_bytes(id_.bytes[8:], signed=True)  # the random half of the id
        await connection.execute(_QUEUE_FOR_RUN, {"key": key})


async def find_run(connection: AsyncConnection, id_: UUID, *, lock: bool = False) -> JobRunView | None:
    """Find a run; `lock` keeps others from changing it until this transaction ends."""
    query: Select[Any] = select(*_VIEW_COLUMNS).where(_run.id == id_)
    row = (await connection.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
    return _build_view(row) if row is not None else None


async def find_run_by_key(connection: AsyncConnection, service_id: UUID, key: str) -> JobRunView | None:
    """Find the run that was created with this idempotency key."""
    query = select(*_VIEW_COLUMNS).where(_run.service_id == service_id, _run.idempotency_key == key)
    row = (await connection.execute(query)).mappings().one_or_none()
    return _build_view(row) if row is not None else None


async def get_run(connection: AsyncConnection, id_: UUID, service_id: UUID | None, *, lock: bool = False) -> JobRunView:
    """Get a run of the service, or any run if `service_id` is None. Raises `NotFoundError`."""
    run = await find_run(connection, id_, lock=lock)
    if run is None or service_id not in (None, run.service_id):
        raise NotFoundError("there is no such job")
    return run


async def list_runs(
    connection: AsyncConnection, filters: JobFilter, *, before: UUID | None, limit: int
) -> list[JobRunView]:
    """List runs, newest first, those after the id `before`."""
    query = select(*_VIEW_COLUMNS)
    for column, value in (
        (_run.service_id, filters.service_id),
        (_run.kind, filters.kind),
        (_run.state, filters.state),
        (_run.schedule_name, filters.schedule),
        (_run.subject_id, filters.subject_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(_run.id < before)
    rows = await connection.execute(query.order_by(_run.id.desc()).limit(limit))
    return [_build_view(row) for row in rows.mappings()]


async def has_open_run(connection: AsyncConnection, schedule_id: UUID) -> bool:
    """Whether a run of the schedule has not ended."""
    query = select(_run.id).where(_run.schedule_id == schedule_id, _run.ended_at.is_(None))
    return (await connection.execute(query.limit(1))).first() is not None


async def has_run_ahead(connection: AsyncConnection, run: JobRunView, *, lock: bool = False) -> bool:
    """Whether another run of the schedule goes before this one, which has not begun or was resumed.

    That is one that is running, or an older one that has not ended. `lock` keeps others from beginning until this
    transaction ends.
    """
    if run.schedule_id is None or run.state is not JobState.QUEUED:
        return False
    if lock:
        await connection.execute(select(_schedule.id).where(_schedule.id == run.schedule_id).with_for_update())
    goes_first = or_(_run.id < run.id, _run.state == JobState.RUNNING)
    query = select(_run.id).where(
        _run.schedule_id == run.schedule_id, _run.ended_at.is_(None), _run.id != run.id, goes_first
    )
    return (await connection.execute(query.limit(1))).first() is not None


async def write_step(
    connection: AsyncConnection, run: JobRunView, result: StepResult, now: datetime
) -> JobRunView | None:
    """Write what a step has done; the run as it is then, or None if it must not go on any more."""
    state = JobState.SUCCEEDED if result.is_done else JobState.RUNNING
    counts = dict(run.counts)
    for name, number in result.counts.items():
        counts[name] = counts.get(name, 0) + number
    progress = run.progress if result.progress is None else result.progress
    values: dict[str, Any] = {
        "state": state,
        "counts": counts,
        "progress": 100 if result.is_done else min(max(progress, 0), 99),
        "log": _extend_log(run, result.log, now),
        "started_at": run.started_at or now,
        "updated_at": now,
    }
    if result.cursor is not None:
        values["cursor"] = dict(result.cursor)
    if result.is_done:
        values["ended_at"] = now
    return await _change_state(connection, run, state, values)


async def fail_run(connection: AsyncConnection, run: JobRunView, error: str, now: datetime) -> JobRunView | None:
    """End a run as failed; None if it has ended already."""
    values = {"state": JobState.FAILED, "updated_at": now, "ended_at": now, "error": error[:_ERROR_LENGTH]}
    return await _change_state(connection, run, JobState.FAILED, values | {"log": _extend_log(run, [error], now)})


async def set_state(
    connection: AsyncConnection, run: JobRunView, state: JobState, now: datetime, *, line: str
) -> JobRunView | None:
    """Cancel, pause, resume or retry a run; None if its state does not allow it."""
    values: dict[str, Any] = {"state": state, "updated_at": now, "log": _extend_log(run, [line], now), "error": None}
    values["ended_at"] = now if state in ENDED_JOB_STATES else None
    return await _change_state(connection, run, state, values)


async def add_log_lines(connection: AsyncConnection, run: JobRunView, lines: Sequence[str], now: datetime) -> None:
    """Add lines to the log of a run."""
    values = {"log": _extend_log(run, lines, now), "updated_at": now}
    await connection.execute(update(JobRun).where(_run.id == run.id).values(values))


async def raise_progress(connection: StatementConnection, id_: UUID, percent: int) -> None:
    """Raise the progress of a run between its steps. It is for people to look at, so a lost write does not matter."""
    is_lower = (_run.id == id_, _run.ended_at.is_(None), _run.progress < percent)
    await connection.execute(update(JobRun).where(*is_lower).values(progress=min(percent, 99)))


async def _change_state(
    connection: AsyncConnection, run: JobRunView, state: JobState, values: Mapping[str, Any]
) -> JobRunView | None:
    allowed = (_run.id == run.id, _run.state.in_(get_source_states(state)))
    row = (await connection.execute(update(JobRun).where(*allowed).values(values).returning(*_VIEW_COLUMNS))).mappings()
    changed = row.one_or_none()
    return _build_view(changed) if changed is not None else None


def _extend_log(run: JobRunView, lines: Sequence[str], now: datetime) -> list[dict[str, Any]]:
    at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    new = [{"at": at, "text": line[:_LOG_TEXT_LENGTH]} for line in lines]
    return [*map(dict, run.log), *new][-MAX_LOG_LINES:]


def _build_view(row: Mapping[Any, Any]) -> JobRunView:
    return JobRunView(**{name: row[name] for name in JobRunView.__dataclass_fields__})
