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
    get_owner_id,
    open_change_transaction,
)
from notifier.api.jobs.models import JobDetailOut, build_job_detail
from notifier.api.notifications import submit_routes
from notifier.api.request_reader import document_body, read_model
from notifier.api.schedules import models
from notifier.auth.authenticated_key import KeyScope
from notifier.jobs import schedule_store

_ACTION = "manages schedules, which may send live mail"
router = APIRouter(prefix="/v1/schedules", tags=["schedules"])
Name = Annotated[str, Path(description="The name of the schedule.", json_schema_extra={"pattern": models.NAME_PATTERN})]


@router.get("", response_model=models.SchedulesOut, summary="List schedules")
async def list_schedules(request: Request) -> dict[str, Any]:
    """List the schedules of your service, or with an admin key those of the instance, by name."""
    key = await authenticate_owner(request, KeyScope.SCHEDULES)
    async with get_dependencies(request).database.read() as connection:
        rows = await schedule_store.list_schedules(connection, get_owner_id(key))
    return {"schedules": [models.build_schedule_reply(row) for row in rows]}


@router.get("/{name}", response_model=models.ScheduleOut, summary="Get a schedule")
async def get_schedule(request: Request, name: Name) -> dict[str, Any]:
    """Get a schedule."""
    key = await authenticate_owner(request, KeyScope.SCHEDULES)
    async with get_dependencies(request).database.read() as connection:
        return models.build_schedule_reply(await schedule_store.get_schedule(connection, get_owner_id(key), name))


@router.put(
    "/{name}",
    response_model=models.ScheduleOut,
    summary="Save a schedule",
    openapi_extra=document_body(models.ScheduleIn),
)
async def save_schedule(request: Request, name: Name, audit: AuditDependency) -> dict[str, Any]:
    """Create the schedule, or replace it. Its next time is counted from now; runs that have begun go on."""
    key = await authenticate_manager(request, _ACTION)
    body = await read_model(request, models.ScheduleIn)
    actor, actions = audit.get_actor(key), get_dependencies(request).job_actions
    async with open_change_transaction(request) as connection:
        saved = await schedule_store.save_schedule(
            connection, get_owner_id(key), name, body.build_request(), actions, actor=actor
        )
    return models.build_schedule_reply(saved)


@router.delete("/{name}", status_code=204, summary="Delete a schedule")
async def delete_schedule(request: Request, name: Name, audit: AuditDependency) -> None:
    """Delete a schedule that is not built in. Its runs go on, and stay in the list of jobs."""
    key = await authenticate_manager(request, _ACTION)
    actor = audit.get_actor(key)
    async with open_change_transaction(request) as connection:
        await schedule_store.delete_schedule(connection, get_owner_id(key), name, actor=actor)


@router.get("/{name}/next", response_model=models.NextTimesOut, summary="List the next times of a schedule")
async def list_next_times(
    request: Request,
    name: Name,
    count: Annotated[int, Query(ge=1, le=models.MAX_NEXT, description="How many times.")] = 10,
) -> dict[str, Any]:
    """List when the schedule would begin its next runs."""
    key = await authenticate_owner(request, KeyScope.SCHEDULES)
    async with get_dependencies(request).database.read() as connection:
        schedule = await schedule_store.get_schedule(connection, get_owner_id(key), name)
    return {"times": schedule.list_next(get_dependencies(request).clock.now(), count)}


@router.post(
    "/{name}/run",
    status_code=202,
    response_model=JobDetailOut,
    summary="Run a schedule now",
    openapi_extra={"parameters": [submit_routes.build_key_parameter()]},
)
async def run_schedule(request: Request, response: Response, name: Name, audit: AuditDependency) -> dict[str, Any]:
    """Begin a run now, also of a schedule that is switched off; its planned times stay as they are."""
    key = await authenticate_manager(request, _ACTION)
    actor, idempotency_key = audit.get_actor(key), request_reader.get_idempotency_key(request)
    async with open_change_transaction(request) as connection:
        run, replayed = await schedule_store.trigger_schedule(
            connection, get_owner_id(key), name, actor=actor, idempotency_key=idempotency_key
        )
    response.headers["Location"] = f"/v1/jobs/{run.id}"
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return build_job_detail(run)
