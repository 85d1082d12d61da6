"""Mail merges: the uploaded file, what its check found, and the addresses that it has."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field

from notifier.db.table_base import Table, UtcDateTime, build_enum_type, build_json_type
from notifier.job_states import MergeState
from notifier.states import KeyKind


class Merge(Table, table=True):
    """One mail merge: a spreadsheet and a template version. Its id is also that of its batch."""

    __tablename__ = "merge"
    __table_args__ = (Index("ix_merge_service_id_id", "service_id", "id"),)

    id: UUID = Field(primary_key=True)
    service_id: UUID
    state: MergeState = Field(sa_type=build_enum_type(MergeState, "state"))
    kind: KeyKind = Field(sa_type=build_enum_type(KeyKind, "kind"))  # of the key that uploaded it
    key_id: UUID
    created_by: str = Field(max_length=64)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    template: str = Field(max_length=64)  # its slug
    template_version: int
    overrides: dict[str, str] = Field(sa_type=build_json_type())  # heading → field, as the caller says
    size: int = 0  # bytes of the file
    # What the check found, and from the end of the upload on the file's SHA-256; None before.
    info: dict[str, Any] | None = Field(default=None, sa_type=build_json_type())
    columns: list[dict[str, Any]] | None = Field(default=None, sa_type=build_json_type())
    problems: list[str] | None = Field(default=None, sa_type=build_json_type())
    rows: int = 0
    valid: int = 0
    faulty: int = 0
    duplicates: int = 0  # valid rows whose address an earlier valid row has
    copies: int = Field(default=0, sa_column_kwargs={"server_default": "0"})  # addresses in cc and bcc of valid rows
    suppressed: int = 0  # valid rows whose address is suppressed
    error: str | None = Field(default=None, max_length=1000)
    check_job_id: UUID | None = None
    run_job_id: UUID | None = None
    start: dict[str, Any] | None = Field(default=None, sa_type=build_json_type())  # the options of the start
    started_by: str | None = Field(default=None, max_length=64)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    # With `per_minute`: the time of the first mail since the start or the last resume, and how many followed it.
    paced_from: datetime | None = Field(default=None, sa_type=UtcDateTime)
    paced: int = 0
    release_after: UUID | None = None  # after a resume: the queued mails behind this id are due again


class MergeChunk(Table, table=True):
    """A part of the uploaded file, at most 1 MiB."""

    __tablename__ = "merge_chunk"

    merge_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    octets: bytes


class MergeFault(Table, table=True):
    """A row of the file with faults."""

    __tablename__ = "merge_fault"

    merge_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)  # of the row in the file
    faults: list[dict[str, Any]] = Field(sa_type=build_json_type())
    cells: list[str] = Field(sa_type=build_json_type())


class MergeRecipient(Table, table=True):
    """An address of a merge, as a hash, and the first valid row that has it."""

    __tablename__ = "merge_recipient"

    merge_id: UUID = Field(primary_key=True)
    address_hash: UUID = Field(primary_key=True)  # 128 bits of the SHA-256 of the address key
    number: int
