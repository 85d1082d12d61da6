"""The history of notifications: delivery attempts, and what people and callers did. Rows are only added."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from notifier.db.column_types import UtcDateTime, build_enum_type
from notifier.db.tables.base import Table
from notifier.outcomes import OutcomeName, SmtpPhase
from notifier.states import EventKind


class Attempt(Table, table=True):
    """One delivery attempt in which a reply to MAIL FROM was read."""

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
    # Relay, duration and hash are null if the sender died.
    relay: str | None = Field(default=None, max_length=255)
    phase: SmtpPhase = Field(sa_type=build_enum_type(SmtpPhase, "phase"))
    outcome: OutcomeName = Field(sa_type=build_enum_type(OutcomeName, "outcome"))
    code: int | None = None
    enhanced_code: str | None = Field(default=None, max_length=11)
    reply: str = Field(max_length=1000)
    started_at: datetime = Field(sa_type=UtcDateTime)
    duration_ms: int | None = None
    sha256: bytes | None = None


class NotificationEvent(Table, table=True):
    """What a person or a caller did to a notification."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_notification_id_id", "notification_id", "id"),)

    id: UUID = Field(primary_key=True)
    notification_id: UUID = Field(foreign_key="notification.id")
    at: datetime = Field(sa_type=UtcDateTime)
    kind: EventKind = Field(sa_type=build_enum_type(EventKind, "kind"))
    actor: str = Field(max_length=64)
    detail: str = Field(max_length=1000)
