"""Webhooks: endpoints, events, and their deliveries."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field

from notifier.db.table_base import Table, UtcDateTime, build_enum_type, build_json_type
from notifier.states import Reason

_NOT_DELIVERED = text("state <> 'delivered'")


class DeliveryState(StrEnum):
    """The state of a delivery of one event to one endpoint."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookEndpoint(Table, table=True):
    """A URL of a service that receives events about its notifications."""

    __tablename__ = "webhook_endpoint"

    id: UUID = Field(primary_key=True)
    service_id: UUID = Field(foreign_key="service.id", index=True)
    url: str = Field(max_length=2048)
    description: str = Field(default="", max_length=256)
    events: list[str] = Field(sa_type=build_json_type())  # types; empty: all
    secret: str = Field(max_length=128)
    previous_secret: str | None = Field(default=None, max_length=128)
    previous_until: datetime | None = Field(default=None, sa_type=UtcDateTime)  # both secrets sign until then
    created_at: datetime = Field(sa_type=UtcDateTime)
    failing_since: datetime | None = Field(default=None, sa_type=UtcDateTime)  # no try has succeeded since
    disabled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    disabled_because: str | None = Field(default=None, max_length=256)


class WebhookEvent(Table, table=True):
    """One status change of a notification, written in the same transaction as the change."""

    __tablename__ = "webhook_event"
    __table_args__ = (Index("ix_webhook_event_notification_id", "notification_id", "sequence"),)

    id: UUID = Field(primary_key=True)
    service_id: UUID
    notification_id: UUID | None = None  # None: a test
    sequence: int  # of the notification's changes
    type: str = Field(max_length=64)
    reason: Reason | None = Field(default=None, sa_type=build_enum_type(Reason, "reason"))
    detail: str | None = Field(default=None, max_length=1000)
    at: datetime = Field(sa_type=UtcDateTime)


class WebhookDelivery(Table, table=True):
    """The delivery of one event to one endpoint, as work of the outbox."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_endpoint_id_id", "endpoint_id", "id"),
        # For finding the few that are not delivered.
        Index(
            "ix_webhook_delivery_state",
            *("endpoint_id", "state", "id"),
            postgresql_where=_NOT_DELIVERED,
            sqlite_where=_NOT_DELIVERED,
        ),
    )

    id: UUID = Field(primary_key=True)
    event_id: UUID = Field(foreign_key="webhook_event.id", index=True)
    endpoint_id: UUID
    service_id: UUID
    type: str = Field(max_length=64)
    body: str  # the bytes that are signed and sent, the same at every attempt
    state: DeliveryState = Field(sa_type=build_enum_type(DeliveryState, "state"))
    created_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class WebhookAttempt(Table, table=True):
    """One attempt at a delivery. Rows are only added."""

    __tablename__ = "webhook_attempt"
    __table_args__ = (Index("ix_webhook_attempt_delivery_id_id", "delivery_id", "id"),)

    id: UUID = Field(primary_key=True)
    delivery_id: UUID = Field(foreign_key="webhook_delivery.id")
    number: int
    at: datetime = Field(sa_type=UtcDateTime)
    duration_ms: int
    code: int | None = None  # None: no reply
    detail: str = Field(max_length=1000)
