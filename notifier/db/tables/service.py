"""Services with their API keys and suppressions, and the audit of what people changed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from notifier.db.table_base import Table, UtcDateTime, build_address_type, build_enum_type, build_json_type
from notifier.states import KeyKind, SuppressionReason, SuppressionScope


class Service(Table, table=True):
    """A calling application: owns keys and notifications, and is the unit of fairness."""

    __tablename__ = "service"

    id: UUID = Field(primary_key=True)
    name: str = Field(max_length=64, unique=True)
    from_domains: list[str] = Field(sa_type=build_json_type())
    # Whom its team keys may mail: addresses, and domains as "@example.org". None: nobody.
    team_recipients: list[str] | None = Field(default=None, sa_type=build_json_type())
    rate_per_minute: int | None = None  # notifications; None: as the settings say
    keep_content_days: int | None = None  # after the end; None: as the settings say
    keep_notification_days: int | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)


class ApiKey(Table, table=True):
    """An API key. Only the SHA-256 of its secret part is stored."""

    __tablename__ = "api_key"

    id: UUID = Field(primary_key=True)
    service_id: UUID | None = Field(default=None, foreign_key="service.id", index=True)
    name: str = Field(default="", max_length=64)
    prefix: str = Field(max_length=24, unique=True)
    secret_hash: bytes
    kind: KeyKind = Field(sa_type=build_enum_type(KeyKind, "kind"))
    scopes: list[str] = Field(sa_type=build_json_type())
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # to within a minute
    replaced_by: UUID | None = None  # the key that a rotation made
    rate_per_minute: int | None = None  # notifications; None: as the settings say


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
    address: str = Field(sa_type=build_address_type())  # as `address.key` writes it
    service_id: UUID  # or `INSTANCE`
    scope: SuppressionScope = Field(sa_type=build_enum_type(SuppressionScope, "scope"))
    reason: SuppressionReason = Field(sa_type=build_enum_type(SuppressionReason, "reason"))
    detail: str = Field(max_length=1000)
    created_by: str = Field(max_length=64)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class AuditEntry(Table, table=True):
    """One audit record. Triggers refuse every change except removing the address, to forget a person.

    A record can be deleted after a year; the purge deletes it when the setting says so.
    """

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
