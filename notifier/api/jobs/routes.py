"""`/v1/jobs`: job runs, their progress once or as a stream, and cancel, pause, resume, retry."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from notifier.api import pagination
from notifier.api.change_stream import WatchedObject, document_stream, open_change_stream
from notifier.api.dependencies import (
    AuditDependency,
    RequestAudit,
    authenticate_manager,
    authenticate_owner,
    get_dependencies,
    open_change_transaction,
)
from notifier.api.fields import parse_id
from notifier.api.jobs import models
from notifier.api.service_choice import choose_service
from notifier.auth.authenticated_key import AuthenticatedKey, Caller, KeyScope
from notifier.job_states import ENDED_JOB_STATES
from notifier.jobs import job_control, job_store
from notifier.jobs.job_action import JobRunView
from notifier.jobs.job_store import JobFilter

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
WATCH_SECONDS = 1.0
"""Between two looks at a job that is watched."""
_Change = Callable[..., Awaitable[JobRunView]]


@router.get("", response_model=models.JobsOut, summary="List jobs")
async def list_jobs(request: Request, response: Response, query: Annotated[models.JobQuery, Query()]) -> dict[str, Any]:
    """List job runs, newest first: those of your service; with an admin key those of all, or of one service."""
    key = await authenticate_owner(request, KeyScope.READ)
    service_id = await choose_service(request, key, query.service)
    filters = JobFilter(service_id=service_id, kind=query.kind, state=query.state, schedule=query.schedule)
    async with get_dependencies(request).database.read() as connection:
        runs = await job_store.list_runs(connection, filters, before=query.before, limit=query.limit + 1)
    page, following = pagination.cut_page(request, response, runs, query.limit)
    return {"jobs": [models.build_job_reply(run) for run in page], "next": following}


@router.get("/{job_id}", response_model=models.JobDetailOut, summary="Get a job")
async def get_job(request: Request, job_id: str) -> dict[str, Any]:
    """Get a job run with the last lines of its log."""
    key = await authenticate_owner(request, KeyScope.READ)
    return models.build_job_detail(await _load_run(request, key, job_id))


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    summary="Stream the progress of a job",
    responses=document_stream("get_job"),
)
async def watch_job(request: Request, job_id: str) -> StreamingResponse:
    """The same as server-sent events: one at once, and one for each change, until the job has ended.

    A stream that ends earlier gives the reason in an event named `end`: after ten minutes (`time_limit`), when the key
    has ended (`unauthenticated`), when the server stops (`shutting_down`), or when its database is out of reach.
    """
    key = await authenticate_owner(request, KeyScope.READ)
    watched = WatchedObject(
        first=await _load_run(request, key, job_id),
        load=lambda run: _load_run(request, key, str(run.id)),
        has_ended=lambda run: run.state in ENDED_JOB_STATES,
        encode=lambda run: msgspec.json.encode(models.build_job_detail(run)).decode(),
        seconds=WATCH_SECONDS,
    )
    return open_change_stream(request, key, watched)


@router.post("/{job_id}/cancel", response_model=models.JobDetailOut, summary="Cancel a job")
async def cancel_job(request: Request, job_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Cancel a job after the step under way. What it has done stays. The request may be repeated."""
    return await _stop_job(request, job_id, audit, job_control.cancel_run)


@router.post("/{job_id}/pause", response_model=models.JobDetailOut, summary="Pause a job")
async def pause_job(request: Request, job_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Pause a job after the step under way. The request may be repeated."""
    return await _stop_job(request, job_id, audit, job_control.pause_run)


@router.post("/{job_id}/resume", response_model=models.JobDetailOut, summary="Resume a job")
async def resume_job(request: Request, job_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Continue a paused job where it was."""
    return models.build_job_detail(await _change_job(request, job_id, audit, job_control.resume_run))


@router.post("/{job_id}/retry", response_model=models.JobDetailOut, summary="Retry a job")
async def retry_job(request: Request, job_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Continue a failed job at the step that failed."""
    return models.build_job_detail(await _change_job(request, job_id, audit, job_control.retry_run))


async def _stop_job(request: Request, job_id: str, audit: RequestAudit, stop: _Change) -> dict[str, Any]:
    run = await _change_job(request, job_id, audit, stop)
    async with open_change_transaction(request) as connection:
        await job_control.finish_stop(connection, run, get_dependencies(request).job_actions)
    return models.build_job_detail(run)


async def _change_job(request: Request, job_id: str, audit: RequestAudit, change: _Change) -> JobRunView:
    key = await authenticate_manager(request, "manages jobs, which may send live mail")
    id_, actor, actions = parse_id(job_id, "job"), audit.get_actor(key), get_dependencies(request).job_actions
    async with open_change_transaction(request) as connection:
        return await change(connection, id_, _get_service(key), actions, actor=actor)


def _get_service(key: AuthenticatedKey) -> UUID | None:
    """The service whose jobs the key sees; None for an admin key, which sees all."""
    return key.service_id if isinstance(key, Caller) else None


async def _load_run(request: Request, key: AuthenticatedKey, job_id: str) -> JobRunView:
    async with get_dependencies(request).database.read() as connection:
        return await job_store.get_run(connection, parse_id(job_id, "job"), _get_service(key))
