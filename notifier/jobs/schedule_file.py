"""Several schedules at once, such as those of a file: all of them are saved, or none."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor
from notifier.errors import Fault, InvalidRequestError
from notifier.jobs import schedule_store
from notifier.jobs.job_control import JobActions
from notifier.jobs.schedule_request import ScheduleRequest, find_all_faults
from notifier.jobs.schedule_store import MAX_SCHEDULES

BUILT_IN = "it is built in: it can be moved and switched off, but keeps its action"


class ScheduleChange(StrEnum):
    """What saving does to a schedule."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, kw_only=True)
class PlannedSave:
    """One schedule of the file, and what saving it does."""

    name: str
    change: ScheduleChange


async def plan_saves(
    connection: AsyncConnection, service_id: UUID, requests: Mapping[str, ScheduleRequest], actions: JobActions
) -> list[PlannedSave]:
    """Find what saving these schedules would do, by name. Raises `InvalidRequestError` with the faults of all.

    A pointer begins with `/schedules` and the name.
    """
    stored = {row.name: row for row in await schedule_store.list_schedules(connection, service_id)}
    faults: list[Fault] = []
    for name, request in sorted(requests.items()):
        own_faults = await find_all_faults(connection, service_id, name, request, actions)
        faults += [Fault(f"/schedules/{name}{fault.pointer}", fault.code, fault.detail) for fault in own_faults]
        if name in stored and stored[name].built_in and request.kind is not stored[name].kind:
            faults.append(Fault(f"/schedules/{name}/action", "built_in_schedule", BUILT_IN))
    if len(stored.keys() | requests.keys()) > MAX_SCHEDULES:
        detail = f"the owner would have more than {MAX_SCHEDULES} schedules: delete some first"
        faults.append(Fault("/schedules", "too_many_schedules", detail))
    if faults:
        raise InvalidRequestError(faults)
    return [
        PlannedSave(name=name, change=_get_change(stored.get(name), request))
        for name, request in sorted(requests.items())
    ]


async def save_schedules(
    connection: AsyncConnection,
    service_id: UUID,
    requests: Mapping[str, ScheduleRequest],
    actions: JobActions,
    *,
    actor: Actor,
) -> list[PlannedSave]:
    """Save these schedules; others of the owner stay. Each change has its own audit record. Raises as `plan_saves`."""
    planned = await plan_saves(connection, service_id, requests, actions)
    for save in planned:
        if save.change is not ScheduleChange.UNCHANGED:
            request = replace(requests[save.name], revision=None)
            await schedule_store.save_schedule(connection, service_id, save.name, request, actions, actor=actor)
    if all(save.change is ScheduleChange.UNCHANGED for save in planned):
        actor.record_no_change()
    return planned


def _get_change(stored: schedule_store.ScheduleView | None, request: ScheduleRequest) -> ScheduleChange:
    if stored is None:
        return ScheduleChange.CREATED
    return ScheduleChange.UNCHANGED if schedule_store.is_unchanged(stored, request) else ScheduleChange.CHANGED
