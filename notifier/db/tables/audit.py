"""Who did what to which object; only ever added to, which the database itself sees to."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field

from notifier.db.column_types import UtcDateTime, build_json_type
from notifier.db.tables.base import Table


class AuditEntry(Table, table=True):
    """One deed. Triggers refuse every change but one: its address may be taken out, to forget a person."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_service_id_id", "service_id", "id"),
        Index("ix_audit_entry_object", "object_kind", "object_id", "id"),
        {"sqlite_with_rowid": False},
    )

    id: UUID = Field(primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime)
    actor: str = Field(max_length=64)
    service_id: UUID | None = None  # whose it was; None: the instance's
    action: str = Field(max_length=64)
    object_kind: str = Field(max_length=32)
    object_id: str = Field(max_length=64)
    address: str | None = Field(default=None, max_length=320)
    before: dict[str, Any] | None = Field(default=None, sa_type=build_json_type())
    after: dict[str, Any] | None = Field(default=None, sa_type=build_json_type())
    request_id: str | None = Field(default=None, max_length=64)
