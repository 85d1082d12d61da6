"""What callers asked for and what became of it: notification, content, attempts, events, and who must not be mailed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from notifier.db.columns import UtcDateTime, closed_set, json_type
from notifier.db.tables.base import Table
from notifier.outcomes import OutcomeName, Phase
from notifier.states import EventKind, Priority, Reason, Status


class Notification(Table, table=True):
    """One envelope recipient, one pinned template version, and the status of its delivery."""

    __tablename__ = "notification"
    __table_args__ = (
        Index("ix_notification_service_id_id", "service_id", "id"),
        Index(
            "uq_notification_service_id_idempotency_key",
            "service_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
            sqlite_where=text("idempotency_key IS NOT NULL"),
        ),
        # Room on each page for the status updates that every row gets, so that they stay heap-only.
        {"postgresql_with": {"fillfactor": 80}},
    )

    id: UUID = Field(primary_key=True)
    # No foreign keys to these two: each insert would lock a row that all writers share. Neither is ever deleted.
    service_id: UUID
    template_version_id: UUID
    recipient: str = Field(max_length=320)
    from_name: str | None = Field(default=None, max_length=256)
    from_address: str = Field(max_length=320)
    reply_to_name: str | None = Field(default=None, max_length=256)
    reply_to_address: str | None = Field(default=None, max_length=320)
    envelope_from: str = Field(max_length=320)
    locale: str | None = Field(default=None, max_length=35)
    priority: Priority = Field(sa_type=closed_set(Priority, "priority"))
    status: Status = Field(sa_type=closed_set(Status, "status"))
    reason: Reason | None = Field(default=None, sa_type=closed_set(Reason, "reason"))
    detail: str | None = Field(default=None, max_length=1000)
    message_id: str = Field(max_length=255)
    message_date: datetime = Field(sa_type=UtcDateTime)
    send_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    uncertain_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_by: str = Field(max_length=64)
    idempotency_key: str | None = Field(default=None, max_length=255)
    request_hash: bytes | None = None


class NotificationContent(Table, table=True):
    """What the mail is made of; apart from the status, so that it can be deleted while the record stays."""

    __tablename__ = "notification_content"

    notification_id: UUID = Field(primary_key=True, foreign_key="notification.id")
    variables: dict[str, Any] = Field(sa_type=json_type())
    headers: dict[str, str] = Field(sa_type=json_type())


class Attempt(Table, table=True):
    """One try in which a reply to MAIL FROM was read; only ever added."""

    __tablename__ = "attempt"
    __table_args__ = (
        UniqueConstraint("entry_id", "lease_no"),
        Index("ix_attempt_notification_id_id", "notification_id", "id"),
    )

    id: UUID = Field(primary_key=True)
    notification_id: UUID = Field(foreign_key="notification.id")
    entry_id: UUID
    lease_no: int
    number: int
    # These three are null where the sender died, and nobody else knows.
    relay: str | None = Field(default=None, max_length=255)
    phase: Phase = Field(sa_type=closed_set(Phase, "phase"))
    outcome: OutcomeName = Field(sa_type=closed_set(OutcomeName, "outcome"))
    code: int | None = None
    enhanced_code: str | None = Field(default=None, max_length=11)
    reply: str = Field(max_length=1000)
    started_at: datetime = Field(sa_type=UtcDateTime)
    duration_ms: int | None = None
    sha256: bytes | None = None


class Event(Table, table=True):
    """What a person or a caller did to a notification; only ever added."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_notification_id_id", "notification_id", "id"),)

    id: UUID = Field(primary_key=True)
    notification_id: UUID = Field(foreign_key="notification.id")
    at: datetime = Field(sa_type=UtcDateTime)
    kind: EventKind = Field(sa_type=closed_set(EventKind, "kind"))
    actor: str = Field(max_length=64)
    detail: str = Field(max_length=1000)


class Suppression(Table, table=True):
    """An address of the instance that must not be mailed, and why."""

    __tablename__ = "suppression"

    address: str = Field(primary_key=True, max_length=320)
    reason: Reason = Field(sa_type=closed_set(Reason, "reason"))
    detail: str = Field(max_length=1000)
    created_at: datetime = Field(sa_type=UtcDateTime)
