"""Jobs and schedules: the calls, and their replies. docs/jobs.md and docs/schedules.md explain the fields.

The key needs `notifications:read` to look at jobs, and `schedules:manage` for the rest, or it is an admin key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Required, TypedDict, Unpack
from uuid import UUID

from notifier.client.api_call import (
    DELETE,
    GET,
    PATCH,
    POST,
    PUT,
    Call,
    HttpResponse,
    PageCall,
    Reply,
    build_call,
    decode_object,
    read_as,
    read_nothing,
    read_page,
    read_replayable,
    read_replies,
)
from notifier.client.request_fields import complete_key


class JobFilter(TypedDict, total=False):
    """Which jobs to list, and which page of them."""

    limit: int  # items of a page
    before: str | UUID | None  # the `next` of the page before
    kind: str | None
    state: str | None
    schedule: str | None  # the name of the schedule that began them
    service: str | None  # for admin keys


class ScheduleSettings(TypedDict, total=False):
    """A schedule as it is to be."""

    timing: Required[str]  # five cron fields, or such as `every 15m`
    zone: str  # IANA time zone; UTC by default
    action: Required[str]
    options: Mapping[str, Any]  # of the action
    catch_up: Literal["one", "all", "none"]  # which of the missed times get a run
    overlap: Literal["skip", "queue"]  # at a time at which the last run has not ended
    enabled: bool
    revision: int | None  # that you have loaded; 0: only a new name; None: whichever there is


@dataclass(frozen=True, kw_only=True)
class JobLogLine(Reply):
    """A line of a job's log."""

    at: datetime
    text: str


@dataclass(frozen=True, kw_only=True)
class Job(Reply):
    """A job run."""

    id: str
    service_id: str | None = None  # None: it belongs to the instance
    kind: str
    state: str  # queued, running, paused, succeeded, failed or cancelled
    progress: int = 0  # per cent; 100 once it has succeeded
    counts: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None  # why it failed
    schedule: str | None = None  # that began it
    planned_at: datetime | None = None  # the time of the schedule for which it runs
    subject_id: str | None = None  # of the image, merge or feed that it is about
    options: Mapping[str, Any] = field(default_factory=dict)
    created_by: str
    created_at: datetime
    started_at: datetime | None = None
    updated_at: datetime
    ended_at: datetime | None = None
    log: tuple[JobLogLine, ...] = ()  # the last lines, oldest first; empty in a list


@dataclass(frozen=True, kw_only=True)
class BegunJob(Job):
    """A job run that was just begun."""

    replayed: bool = False  # True: it was begun before, with the same idempotency key


@dataclass(frozen=True, kw_only=True)
class Schedule(Reply):
    """A schedule."""

    id: str
    name: str
    timing: str
    zone: str
    action: str
    options: Mapping[str, Any] = field(default_factory=dict)
    catch_up: str
    overlap: str
    enabled: bool
    built_in: bool = False  # True: it can be changed, but not deleted
    next_at: datetime | None = None  # None: it begins no run by itself
    last_skipped_at: datetime | None = None  # the last of its times that got no run
    skipped_reason: str | None = None  # the rule that left it out: catch_up or overlap
    skipped_count: int = 0  # times that got no run; a long pause counts as at most 100
    revision: int  # pass it when you save
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class SavedSchedule(Reply):
    """What saving several schedules did with one of them."""

    name: str
    change: str  # created, changed or unchanged


def list_jobs(**filters: Unpack[JobFilter]) -> PageCall[Job]:
    """List the jobs of your service, newest first; with an admin key those of all."""
    return build_call(GET, ("jobs",), read_page(Job, "jobs"), query=filters)


def get_job(id_: str | UUID, /) -> Call[Job]:
    """Get a job with its log."""
    return build_call(GET, ("jobs", id_), read_as(Job))


def watch_job(id_: str | UUID, /) -> Call[Job]:
    """Watch a job: its state now and after each change, until it has ended or ten minutes have passed."""
    return build_call(GET, ("jobs", id_, "events"), read_as(Job), accept="text/event-stream")


def cancel_job(id_: str | UUID, /) -> Call[Job]:
    """Cancel a job after the step under way; cancelling twice is no error."""
    return build_call(POST, ("jobs", id_, "cancel"), read_as(Job), is_idempotent=True)


def pause_job(id_: str | UUID, /) -> Call[Job]:
    """Pause a job after the step under way; pausing twice is no error."""
    return build_call(POST, ("jobs", id_, "pause"), read_as(Job), is_idempotent=True)


def resume_job(id_: str | UUID, /) -> Call[Job]:
    """Continue a paused job where it was."""
    return build_call(POST, ("jobs", id_, "resume"), read_as(Job))


def retry_job(id_: str | UUID, /) -> Call[Job]:
    """Continue a failed job at the step that failed."""
    return build_call(POST, ("jobs", id_, "retry"), read_as(Job))


def list_schedules(*, service: str | None = None) -> PageCall[Schedule]:
    """List the schedules of your service by name; with an admin key those of the instance or of a named `service`."""
    return build_call(GET, ("schedules",), read_page(Schedule, "schedules"), query={"service": service})


def get_schedule(name: str, /, *, service: str | None = None) -> Call[Schedule]:
    """Get a schedule. `service` is for admin keys."""
    return build_call(GET, ("schedules", name), read_as(Schedule), query={"service": service})


def save_schedule(name: str, /, *, service: str | None = None, **settings: Unpack[ScheduleSettings]) -> Call[Schedule]:
    """Create a schedule, or replace it as a whole. Raises `ConflictError` if it has changed since `revision`."""
    return build_call(PUT, ("schedules", name), read_as(Schedule), query={"service": service}, fields=settings)


def save_schedules(
    schedules: Mapping[str, ScheduleSettings], /, *, dry_run: bool | None = None, service: str | None = None
) -> Call[tuple[SavedSchedule, ...]]:
    """Create and replace several schedules, all or none. With `dry_run` only say what would be done."""
    query, fields = {"dry_run": dry_run, "service": service}, {"schedules": schedules}
    return build_call(POST, ("schedules",), _read_saved, query=query, fields=fields, is_idempotent=True)


def switch_schedule(name: str, /, *, enabled: bool, service: str | None = None) -> Call[Schedule]:
    """Switch a schedule on, so that its next time is counted from now, or off."""
    query, fields = {"service": service}, {"enabled": enabled}
    path = ("schedules", name)
    return build_call(PATCH, path, read_as(Schedule), query=query, fields=fields, is_idempotent=True)


def delete_schedule(name: str, /, *, service: str | None = None) -> Call[None]:
    """Delete a schedule that is not built in. Its runs go on."""
    return build_call(DELETE, ("schedules", name), read_nothing, query={"service": service})


def list_next_times(
    name: str, /, *, count: int | None = None, service: str | None = None
) -> Call[tuple[datetime, ...]]:
    """List the next times of a schedule, by default ten."""
    return build_call(GET, ("schedules", name, "next"), _read_times, query={"count": count, "service": service})


def run_schedule(name: str, /, *, idempotency_key: str | None = None, service: str | None = None) -> Call[BegunJob]:
    """Begin a run now, also of a schedule that is switched off; its planned times stay.

    Without an idempotency key one is generated, so that a repeated request never begins a second run.
    """
    key, path = complete_key(idempotency_key), ("schedules", name, "run")
    return build_call(POST, path, read_replayable(BegunJob), query={"service": service}, idempotency_key=key)


def _read_saved(answer: HttpResponse) -> tuple[SavedSchedule, ...]:
    return read_replies(SavedSchedule, decode_object(answer.content).get("schedules"), "schedules")


def _read_times(answer: HttpResponse) -> tuple[datetime, ...]:
    return read_replies(datetime, decode_object(answer.content).get("times"), "times")
