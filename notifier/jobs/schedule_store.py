"""Schedules: save, delete, list, and begin a run by hand. Each operation writes its own audit record.

A schedule belongs to a service, or to the instance. The built-in ones can be changed, but not deleted.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor, AuditAction
from notifier.db.dialect import insert_if_absent
from notifier.db.tables import Schedule, get_columns
from notifier.errors import IdempotencyKeyReusedError, InvalidRequestError, NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.job_states import CatchUp, Overlap, SkipReason
from notifier.jobs import job_store, timing
from notifier.jobs.job_action import JobRunView
from notifier.jobs.job_control import JobActions
from notifier.jobs.job_store import NewJobRun
from notifier.jobs.schedule_request import SCHEDULE_NAME, ScheduleRequest, find_all_faults
from notifier.states import JobKind

MAX_SCHEDULES = 200
"""Schedules of one owner."""
_schedule = get_columns(Schedule)
_CHANGEABLE = ("timing", "zone", "kind", "options", "catch_up", "overlap", "enabled")


class StaleScheduleError(NotifierError):
    """Edit conflict: somebody changed the schedule after the revision that you sent. Load it and try again."""


class BuiltInScheduleError(NotifierError):
    """A built-in schedule can be moved, switched off and triggered, but not deleted, and keeps its action."""


class ScheduleBusyError(NotifierError):
    """A run began at the same moment: look at the list of jobs, and try again."""


class TooManySchedulesError(NotifierError):
    """The owner has the maximum number of schedules."""


@dataclass(frozen=True, kw_only=True)
class ScheduleView:
    """A schedule as it is stored."""

    id: UUID
    service_id: UUID
    name: str
    timing: str
    zone: str
    kind: JobKind
    options: Mapping[str, Any]
    catch_up: CatchUp
    overlap: Overlap
    enabled: bool
    built_in: bool
    next_at: datetime | None
    revision: int
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime
    last_skipped_at: datetime | None = None  # the last of its times that got no run
    skipped_reason: SkipReason | None = None
    skipped_count: int = 0

    def list_next(self, after: datetime, count: int) -> list[datetime]:
        """List the next times, also of a schedule that is switched off."""
        return list(islice(timing.parse_timing(self.timing, self.zone).iterate_after(after), count))


async def save_schedule(
    connection: AsyncConnection,
    service_id: UUID,
    name: str,
    request: ScheduleRequest,
    actions: JobActions,
    *,
    actor: Actor,
) -> ScheduleView:
    """Create or change a schedule.

    Raises `InvalidRequestError`, `StaleScheduleError`, `BuiltInScheduleError`, `TooManySchedulesError`.
    """
    faults = await find_all_faults(connection, service_id, name, request, actions)
    if faults:
        raise InvalidRequestError(faults)
    stored = await _find_schedule(connection, service_id, name, lock=True)
    if request.revision not in (None, stored.revision if stored else 0):
        raise StaleScheduleError
    times = timing.parse_timing(request.timing, request.zone)
    values: dict[str, Any] = {name: getattr(request, name) for name in _CHANGEABLE} | {
        "timing": times.text,
        "options": dict(request.options),
        "next_at": times.get_next(actor.at) if request.enabled else None,
    }
    if stored is None:
        return await _insert_schedule(connection, service_id, name, values, actor)
    if stored.built_in and request.kind is not stored.kind:
        raise BuiltInScheduleError
    if is_unchanged(stored, request):
        actor.record_no_change()
        return stored
    if stored.enabled and (stored.timing, stored.zone) == (values["timing"], values["zone"]) and request.enabled:
        values["next_at"] = stored.next_at  # a time that is due now is not lost by the change of an option
    return await _update_schedule(connection, stored, values, actor)


async def switch_schedule(
    connection: AsyncConnection, service_id: UUID, name: str, *, enabled: bool, actor: Actor
) -> ScheduleView:
    """Switch a schedule on or off; off also if its options are not valid any more. Raises `NotFoundError`."""
    stored = await get_schedule(connection, service_id, name, lock=True)
    if stored.enabled is enabled:
        actor.record_no_change()
        return stored
    next_at = timing.parse_timing(stored.timing, stored.zone).get_next(actor.at) if enabled else None
    return await _update_schedule(connection, stored, {"enabled": enabled, "next_at": next_at}, actor)


async def _update_schedule(
    connection: AsyncConnection, stored: ScheduleView, changes: Mapping[str, Any], actor: Actor
) -> ScheduleView:
    values = {**changes, "revision": stored.revision + 1, "updated_by": actor.name, "updated_at": actor.at}
    await connection.execute(update(Schedule).where(_schedule.id == stored.id).values(values))
    saved = ScheduleView(**asdict(stored) | values)
    await _record(connection, AuditAction.SCHEDULE_SAVED, stored, saved, actor)
    return saved


def is_unchanged(stored: ScheduleView, request: ScheduleRequest) -> bool:
    """Whether a schedule is as it is to be."""
    has_same_timing = stored.timing == " ".join(request.timing.split())
    return has_same_timing and all(getattr(stored, name) == getattr(request, name) for name in _CHANGEABLE[1:])


async def _insert_schedule(
    connection: AsyncConnection, service_id: UUID, name: str, values: Mapping[str, Any], actor: Actor
) -> ScheduleView:
    count = await connection.execute(select(func.count()).where(_schedule.service_id == service_id))
    if count.scalar_one() >= MAX_SCHEDULES:
        raise TooManySchedulesError
    row = dict(values) | {
        "id": generate_id(),
        "service_id": service_id,
        "name": name,
        "built_in": False,
        "skipped_count": 0,
        "revision": 1,
        "created_by": actor.name,
        "created_at": actor.at,
        "updated_by": actor.name,
        "updated_at": actor.at,
    }
    if not await insert_if_absent(connection, Schedule, row):
        raise StaleScheduleError
    saved = ScheduleView(**row)
    await _record(connection, AuditAction.SCHEDULE_SAVED, None, saved, actor)
    return saved


async def list_schedules(connection: AsyncConnection, service_id: UUID | None) -> list[ScheduleView]:
    """List the schedules of an owner, or all if `service_id` is None, by name."""
    owned = [_schedule.service_id == service_id] if service_id is not None else []
    query = select(*_schedule).where(*owned).order_by(_schedule.service_id, _schedule.name)
    return [_build_view(row) for row in (await connection.execute(query)).mappings()]


async def get_schedule(connection: AsyncConnection, service_id: UUID, name: str, *, lock: bool = False) -> ScheduleView:
    """Get a schedule of an owner. Raises `NotFoundError`."""
    schedule = await _find_schedule(connection, service_id, name, lock=lock)
    if schedule is None:
        raise NotFoundError(f"there is no schedule named {name[:64]!r}")
    return schedule


async def delete_schedule(connection: AsyncConnection, service_id: UUID, name: str, *, actor: Actor) -> None:
    """Delete a schedule; its runs stay. Raises `NotFoundError`, `BuiltInScheduleError`."""
    stored = await get_schedule(connection, service_id, name, lock=True)
    if stored.built_in:
        raise BuiltInScheduleError
    await connection.execute(delete(Schedule).where(_schedule.id == stored.id))
    await _record(connection, AuditAction.SCHEDULE_DELETED, stored, None, actor)


async def trigger_schedule(
    connection: AsyncConnection, service_id: UUID, name: str, *, actor: Actor, idempotency_key: str | None = None
) -> tuple[JobRunView, bool]:
    """Begin a run now, also if the schedule is switched off; its times stay.

    Returns the run, and whether an earlier request with this key has created it.
    Raises `NotFoundError`, `IdempotencyKeyReusedError`, `ScheduleBusyError`.
    """
    stored = await get_schedule(connection, service_id, name, lock=True)
    if idempotency_key is not None:
        earlier = await job_store.find_run_by_key(connection, service_id, idempotency_key)
        if earlier is not None and earlier.schedule_id != stored.id:
            raise IdempotencyKeyReusedError
        if earlier is not None:
            actor.record_no_change()
            return earlier, True
    run = await job_store.create_run(connection, build_new_run(stored, actor, idempotency_key), actor.at)
    if run is None:  # two at the same microsecond, or with the same key for another schedule
        raise ScheduleBusyError
    await _record(connection, AuditAction.SCHEDULE_TRIGGERED, stored, stored, actor)
    return run, False


def build_new_run(schedule: ScheduleView, actor: Actor, idempotency_key: str | None = None) -> NewJobRun:
    """Build the run of a schedule for the time of the actor."""
    return NewJobRun(
        service_id=schedule.service_id,
        kind=schedule.kind,
        created_by=actor.name,
        options={**schedule.options, "zone": schedule.zone},
        schedule_id=schedule.id,
        schedule_name=schedule.name,
        planned_at=actor.at,
        idempotency_key=idempotency_key,
    )


async def _find_schedule(
    connection: AsyncConnection, service_id: UUID, name: str, *, lock: bool = False
) -> ScheduleView | None:
    if not SCHEDULE_NAME.fullmatch(name):  # PostgreSQL refuses some text, such as NUL
        return None
    query = select(*_schedule).where(_schedule.service_id == service_id, _schedule.name == name)
    row = (await connection.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
    return _build_view(row) if row is not None else None


async def _record(
    connection: AsyncConnection,
    action: AuditAction,
    before: ScheduleView | None,
    after: ScheduleView | None,
    actor: Actor,
) -> None:
    schedule = after or before
    if schedule is None:
        return
    record = audit.AuditRecord(
        action=action,
        object_id=schedule.id,
        service_id=schedule.service_id if schedule.service_id.int else None,
        before=_describe(before),
        after=_describe(after),
    )
    await audit.write_audit_record(connection, record, actor)


def _describe(schedule: ScheduleView | None) -> dict[str, Any] | None:
    """Describe a schedule for the audit, without its options, which may contain addresses."""
    if schedule is None:
        return None
    return {name: getattr(schedule, name) for name in ("name", *_CHANGEABLE) if name != "options"}


def _build_view(row: Mapping[Any, Any]) -> ScheduleView:
    return ScheduleView(**{name: row[name] for name in ScheduleView.__dataclass_fields__})
