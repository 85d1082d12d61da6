"""The query and reply models of job runs."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from notifier.api.pagination import PageQuery
from notifier.api.service_choice import ServiceName
from notifier.jobs.job_action import JobRunView
from notifier.jobs.schedule_request import SCHEDULE_NAME
from notifier.states import JobKind, JobState


class JobQuery(PageQuery):
    """Which job runs are listed."""

    kind: JobKind | None = Field(None, description="Only jobs of this kind.")
    state: JobState | None = Field(None, description="Only jobs in this state.")
    schedule: Annotated[
        str | None,
        Query(max_length=64, pattern=f"^{SCHEDULE_NAME.pattern}$", description="Only jobs that this schedule began."),
    ] = None
    service: ServiceName = None


class JobLogLineOut(BaseModel):
    """A line of a job's log."""

    at: datetime
    text: str


class JobOut(BaseModel):
    """A job run."""

    id: UUID
    service_id: UUID | None = Field(description="Its owner; null: the instance.")
    kind: JobKind
    state: JobState
    progress: int = Field(ge=0, le=100, description="Per cent; 100 once it has succeeded.")
    counts: dict[str, int] = Field(description="What it has done so far, by name.")
    error: str | None = Field(description="Why it failed.")
    schedule: str | None = Field(description="The schedule that began it.")
    planned_at: datetime | None = Field(description="The time of the schedule for which it runs.")
    subject_id: UUID | None = Field(description="What it is about: an image, a merge or a feed.")
    options: dict[str, Any] = Field(description="The settings of its action.")
    created_by: str
    created_at: datetime
    started_at: datetime | None = Field(description="When its first step was done.")
    updated_at: datetime
    ended_at: datetime | None


class JobDetailOut(JobOut):
    """A job run with its log."""

    log: list[JobLogLineOut] = Field(description="The last lines, oldest first.")


class JobsOut(BaseModel):
    """A page of job runs, newest first."""

    jobs: list[JobOut]
    next: UUID | None


def build_job_reply(run: JobRunView) -> dict[str, Any]:
    """Build the reply for a job run, without its log."""
    reply = {name: getattr(run, name) for name in JobOut.model_fields if name not in {"schedule", "service_id"}}
    return reply | {"schedule": run.schedule_name, "service_id": run.service_id if run.service_id.int else None}


def build_job_detail(run: JobRunView) -> dict[str, Any]:
    """Build the reply for a job run with its log."""
    return build_job_reply(run) | {"log": list(run.log)}
