"""`/v1/schedules`: when jobs begin again and again, and one run by hand.

A service has its own schedules; an admin key those of the instance.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from notifier.api import request_reader
from notifier.api.dependencies import (
    AuditDependency,
    authenticate_manager,
    authenticate_owner,
    get_dependencies,
    open_change_transaction,
)
from notifier.api.jobs.models import JobDetailOut, build_job_detail
from notifier.api.notifications import submit_routes
from notifier.api.request_reader import document_body, read_model
from notifier.api.schedules import models
from notifier.api.service_choice import OwnerName, choose_owner
from notifier.auth.authenticated_key import KeyScope
from notifier.jobs import schedule_file, schedule_store

_ACTION = "manages schedules, which may send live mail"
router = APIRouter(prefix="/v1/schedules", tags=["schedules"])
Name = Annotated[str, Path(description="The name of the schedule.", json_schema_extra={"pattern": models.NAME_PATTERN})]


@router.get("", response_model=models.SchedulesOut, summary="List schedules")
async def list_schedules(request: Request, service: OwnerName = None) -> dict[str, Any]:
    """List the schedules of your service, or with an admin key those of the instance, by name."""
    key = await authenticate_owner(request, KeyScope.SCHEDULES)
    owner = await choose_owner(request, key, service)
    async with get_dependencies(request).database.read() as connection:
        rows = await schedule_store.list_schedules(connection, owner)
    return {"schedules": [models.build_schedule_reply(row) for row in rows]}


@router.get("/{name}", response_model=models.ScheduleOut, summary="Get a schedule")
async def get_schedule(request: Request, name: Name, service: OwnerName = None) -> dict[str, Any]:
    """Get a schedule."""
    key = await authenticate_owner(request, KeyScope.SCHEDULES)
    owner = await choose_owner(request, key, service)
    async with get_dependencies(request).database.read() as connection:
        return models.build_schedule_reply(await schedule_store.get_schedule(connection, owner, name))


@router.put(
    "/{name}",
    response_model=models.ScheduleOut,
    summary="Save a schedule",
    openapi_extra=document_body(models.ScheduleIn),
)
async def save_schedule(
    request: Request, name: Name, audit: AuditDependency, service: OwnerName = None
) -> dict[str, Any]:
    """Create the schedule, or replace it. Its next time is counted from now; runs that have begun go on."""
    key = await authenticate_manager(request, _ACTION)
    owner = await choose_owner(request, key, service)
    body = await read_model(request, models.ScheduleIn)
    actor, actions = audit.get_actor(key), get_dependencies(request).job_actions
    async with open_change_transaction(request) as connection:
        saved = await schedule_store.save_schedule(connection, owner, name, body.build_request(), actions, actor=actor)
    return models.build_schedule_reply(saved)


@router.patch(
    "/{name}",
    response_model=models.ScheduleOut,
    summary="Enable or disable a schedule",
    openapi_extra=document_body(models.ScheduleSwitchIn),
)
async def switch_schedule(
    request: Request, name: Name, audit: AuditDependency, service: OwnerName = None
) -> dict[str, Any]:
    """Switch a schedule on, so that its next time is counted from now, or off. Runs that have begun go on."""
    key = await authenticate_manager(request, _ACTION)
    owner = await choose_owner(request, key, service)
    body, actor = await read_model(request, models.ScheduleSwitchIn), audit.get_actor(key)
    async with open_change_transaction(request) as connection:
        saved = await schedule_store.switch_schedule(connection, owner, name, enabled=body.enabled, actor=actor)
    return models.build_schedule_reply(saved)


@router.post(
    "",
    response_model=models.SavedSchedulesOut,
    summary="Save several schedules",
    openapi_extra=document_body(models.SchedulesIn),
)
async def save_schedules(
    request: Request,
    audit: AuditDependency,
    dry_run: Annotated[bool, Query(description="Only say what would be done.")] = False,  # noqa: FBT002 - a parameter
    service: OwnerName = None,
) -> dict[str, Any]:
    """Create and replace schedules, all of them or none. Others of the owner stay as they are."""
    key = await authenticate_manager(request, _ACTION)
    owner = await choose_owner(request, key, service)
    body = await read_model(request, models.SchedulesIn)
    requests = {name: each.build_request() for name, each in body.schedules.items()}
    actor, dependencies = audit.get_actor(key), get_dependencies(request)
    if dry_run:
        audit.record_no_change()
        async with dependencies.database.read() as connection:
            planned = await schedule_file.plan_saves(connection, owner, requests, dependencies.job_actions)
    else:
        async with open_change_transaction(request) as connection:
            planned = await schedule_file.save_schedules(
                connection, owner, requests, dependencies.job_actions, actor=actor
            )
    return {"schedules": [vars(each) for each in planned]}


@router.delete("/{name}", status_code=204, summary="Delete a schedule")
async def delete_schedule(request: Request, name: Name, audit: AuditDependency, service: OwnerName = None) -> None:
    """Delete a schedule that is not built in. Its runs go on, and stay in the list of jobs."""
    key = await authenticate_manager(request, _ACTION)
    owner = await choose_owner(request, key, service)
    actor = audit.get_actor(key)
    async with open_change_transaction(request) as connection:
        await schedule_store.delete_schedule(connection, owner, name, actor=actor)


@router.get("/{name}/next", response_model=models.NextTimesOut, summary="List the next times of a schedule")
async def list_next_times(
    request: Request,
    name: Name,
    count: Annotated[int, Query(ge=1, le=models.MAX_NEXT, description="How many times.")] = 10,
    service: OwnerName = None,
) -> dict[str, Any]:
    """List when the schedule would begin its next runs."""
    key = await authenticate_owner(request, KeyScope.SCHEDULES)
    owner = await choose_owner(request, key, service)
    async with get_dependencies(request).database.read() as connection:
        schedule = await schedule_store.get_schedule(connection, owner, name)
    return {"times": schedule.list_next(get_dependencies(request).clock.now(), count)}


@router.post(
    "/{name}/run",
    status_code=202,
    response_model=JobDetailOut,
    summary="Run a schedule now",
    openapi_extra={"parameters": [submit_routes.build_key_parameter()]},
)
async def run_schedule(
    request: Request, response: Response, name: Name, audit: AuditDependency, service: OwnerName = None
) -> dict[str, Any]:
    """Begin a run now, also of a schedule that is switched off; its planned times stay as they are."""
    key = await authenticate_manager(request, _ACTION)
    owner = await choose_owner(request, key, service)
    actor, idempotency_key = audit.get_actor(key), request_reader.get_idempotency_key(request)
    async with open_change_transaction(request) as connection:
        run, replayed = await schedule_store.trigger_schedule(
            connection, owner, name, actor=actor, idempotency_key=idempotency_key
        )
    response.headers["Location"] = f"/v1/jobs/{run.id}"
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return build_job_detail(run)
