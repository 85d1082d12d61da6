"""The audit: who did what to which object. Rows are only added."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field

from notifier.db.column_types import UtcDateTime, build_json_type
from notifier.db.tables.base import Table


class AuditEntry(Table, table=True):
    """One audit record. Triggers refuse every change except removing the address, to forget a person."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_service_id_id", "service_id", "id"),
        Index("ix_audit_entry_object", "object_kind", "object_id", "id"),
        {"sqlite_with_rowid": False},
    )

    id: UUID = Field(primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime)
    actor: str = Field(max_length=64)
    service_id: UUID | None = None  # the owner of the object; None: the instance
    action: str = Field(max_length=64)
    object_kind: str = Field(max_length=32)
    object_id: str = Field(max_length=64)
    address: str | None = Field(default=None, max_length=320)
    before: dict[str, Any] | None = Field(default=None, sa_type=build_json_type())
    after: dict[str, Any] | None = Field(default=None, sa_type=build_json_type())
    request_id: str | None = Field(default=None, max_length=64)
