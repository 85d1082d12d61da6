"""Addresses that must not be mailed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from notifier.db.column_types import UtcDateTime, build_enum_type
from notifier.db.tables.base import Table
from notifier.states import SuppressionReason, SuppressionScope

INSTANCE = UUID(int=0)
"""The `service_id` of a suppression that holds for all services."""


class Suppression(Table, table=True):
    """An address that a service, or the whole instance, must not mail, and why."""

    __tablename__ = "suppression"
    __table_args__ = (
        UniqueConstraint("address", "service_id", "scope"),
        Index("ix_suppression_service_id_id", "service_id", "id"),
    )

    id: UUID = Field(primary_key=True)
    address: str = Field(max_length=320)  # as `address.key` writes it
    service_id: UUID  # or `INSTANCE`
    scope: SuppressionScope = Field(sa_type=build_enum_type(SuppressionScope, "scope"))
    reason: SuppressionReason = Field(sa_type=build_enum_type(SuppressionReason, "reason"))
    detail: str = Field(max_length=1000)
    created_by: str = Field(max_length=64)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
