"""Job runs, and the schedules that begin them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from notifier.db.table_base import Table, UtcDateTime, build_enum_type, build_json_type
from notifier.job_states import CatchUp, Overlap, SkipReason
from notifier.states import JobKind, JobState

_PLANNED = text("planned_at IS NOT NULL")
_HAS_KEY = text("idempotency_key IS NOT NULL")
_OPEN = text("ended_at IS NULL")


class JobRun(Table, table=True):
    """One run of a job. Its outbox entry has the run's id as `subject_id`."""

    __tablename__ = "job_run"
    __table_args__ = (
        Index("ix_job_run_service_id_id", "service_id", "id"),
        Index(
            "uq_job_run_schedule_id_planned_at",
            *("schedule_id", "planned_at"),
            unique=True,
            postgresql_where=_PLANNED,
            sqlite_where=_PLANNED,
        ),
        Index(
            "uq_job_run_service_id_idempotency_key",
            *("service_id", "idempotency_key"),
            unique=True,
            postgresql_where=_HAS_KEY,
            sqlite_where=_HAS_KEY,
        ),
        Index("ix_job_run_open", "schedule_id", "id", postgresql_where=_OPEN, sqlite_where=_OPEN),
    )

    id: UUID = Field(primary_key=True)
    service_id: UUID  # INSTANCE: of the instance
    kind: JobKind = Field(sa_type=build_enum_type(JobKind, "kind"))
    state: JobState = Field(sa_type=build_enum_type(JobState, "state"))
    schedule_id: UUID | None = None  # None: no schedule began it
    schedule_name: str | None = Field(default=None, max_length=64)  # as it was when the run began
    planned_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    subject_id: UUID | None = None  # what it is about: an image, a merge, a feed
    idempotency_key: str | None = Field(default=None, max_length=255)
    options: dict[str, Any] = Field(sa_type=build_json_type())
    cursor: dict[str, Any] | None = Field(default=None, sa_type=build_json_type())  # where the next step begins
    counts: dict[str, int] = Field(sa_type=build_json_type())
    progress: int = 0  # per cent
    log: list[dict[str, Any]] = Field(sa_type=build_json_type())  # the last lines: `at` and `text`
    error: str | None = Field(default=None, max_length=1000)
    created_by: str = Field(max_length=128)
    created_at: datetime = Field(sa_type=UtcDateTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # end of the first step
    updated_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Schedule(Table, table=True):
    """When a job begins again and again."""

    __tablename__ = "schedule"
    __table_args__ = (UniqueConstraint("service_id", "name"), Index("ix_schedule_next_at", "next_at"))

    id: UUID = Field(primary_key=True)
    service_id: UUID  # INSTANCE: of the instance
    name: str = Field(max_length=64)
    timing: str = Field(max_length=128)  # five cron fields, or `every 15m`
    zone: str = Field(max_length=64)  # IANA name
    kind: JobKind = Field(sa_type=build_enum_type(JobKind, "kind"))
    options: dict[str, Any] = Field(sa_type=build_json_type())
    catch_up: CatchUp = Field(sa_type=build_enum_type(CatchUp, "catch_up"))
    overlap: Overlap = Field(sa_type=build_enum_type(Overlap, "overlap"))
    enabled: bool
    built_in: bool  # it cannot be deleted
    next_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # None: switched off, or never again
    last_skipped_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # the last time that got no run
    skipped_reason: SkipReason | None = Field(default=None, sa_type=build_enum_type(SkipReason, "skipped_reason"))
    skipped_count: int = Field(default=0, sa_column_kwargs={"server_default": "0"})  # times that got no run
    revision: int  # goes up with each change by a person
    created_by: str = Field(max_length=128)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_by: str = Field(max_length=128)
    updated_at: datetime = Field(sa_type=UtcDateTime)
