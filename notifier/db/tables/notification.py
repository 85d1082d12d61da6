"""Notifications, their content and history, and the tables by which they are found."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, false, text
from sqlmodel import Field

from notifier.db.table_base import Table, UtcDateTime, build_address_type, build_enum_type, build_json_type
from notifier.outcomes import OutcomeName, SmtpPhase
from notifier.states import Category, EventKind, KeyKind, Priority, Reason, Role, Status, WhenUncertain

_HAS_KEY = text("idempotency_key IS NOT NULL")
_IN_BATCH = text("batch_id IS NOT NULL")
_IS_COPY = text("parent_id IS NOT NULL")
_HAS_FILES = text("attachments IS NOT NULL")


class Notification(Table, table=True):
    """One envelope recipient, one pinned template version or content, and the status of the delivery."""

    __tablename__ = "notification"
    __table_args__ = (
        # No index may contain the status, because each status update would then write to every index.
        Index("ix_notification_service_id_id", "service_id", "id"),
        Index("ix_notification_address", "service_id", "address_key", "id"),
        Index("ix_notification_template", "service_id", "template_id", "id"),
        Index("ix_notification_batch", "batch_id", "id", postgresql_where=_IN_BATCH, sqlite_where=_IN_BATCH),
        Index("ix_notification_parent", "parent_id", "id", postgresql_where=_IS_COPY, sqlite_where=_IS_COPY),
        Index(
            "uq_notification_service_id_idempotency_key",
            "service_id",
            "idempotency_key",
            unique=True,
            postgresql_where=_HAS_KEY,
            sqlite_where=_HAS_KEY,
        ),
        # Free space on each page, so that status updates are heap-only.
        {"postgresql_with": {"fillfactor": 80}},
    )

    id: UUID = Field(primary_key=True)
    # No foreign keys here: each insert would lock a row that all writers share. The purge deletes only batches of which
    # no notification is left, and families as a whole.
    service_id: UUID
    template_id: UUID | None = None  # None: the request contained the content
    template_version_id: UUID | None = None
    batch_id: UUID | None = None
    parent_id: UUID | None = None  # of a copy: the original notification
    role: Role = Field(sa_type=build_enum_type(Role, "role"))
    kind: KeyKind = Field(sa_type=build_enum_type(KeyKind, "kind"))  # of the key that submitted it
    category: Category = Field(sa_type=build_enum_type(Category, "category"))
    recipient: str = Field(max_length=320)
    address_key: str = Field(sa_type=build_address_type())  # the recipient as `address.key` writes it, for searches
    from_name: str | None = Field(default=None, max_length=256)
    from_address: str = Field(max_length=320)
    reply_to_name: str | None = Field(default=None, max_length=256)
    reply_to_address: str | None = Field(default=None, max_length=320)
    envelope_from: str = Field(max_length=320)
    locale: str | None = Field(default=None, max_length=35)
    priority: Priority = Field(sa_type=build_enum_type(Priority, "priority"))
    status: Status = Field(sa_type=build_enum_type(Status, "status"))
    reason: Reason | None = Field(default=None, sa_type=build_enum_type(Reason, "reason"))
    detail: str | None = Field(default=None, max_length=1000)
    sequence: int = 0  # number of status changes; orders the events
    message_id: str = Field(max_length=255)
    message_date: datetime = Field(sa_type=UtcDateTime)
    send_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    uncertain_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    # None: accepted by a release before this column. Then the pinned version decides; without one: hold.
    when_uncertain: WhenUncertain | None = Field(default=None, sa_type=build_enum_type(WhenUncertain, "when_uncertain"))
    created_by: str = Field(max_length=64)
    idempotency_key: str | None = Field(default=None, max_length=255)
    request_hash: bytes | None = None
    tags: list[str] | None = Field(default=None, sa_type=build_json_type())
    meta: dict[str, str] | None = Field(default=None, sa_type=build_json_type())  # the caller's `metadata`


class NotificationContent(Table, table=True):
    """The content of a mail and its copies, in its own table so that it can be deleted before the notification.

    A copy has no row of its own, unless a release before 0007 has written it.
    """

    __tablename__ = "notification_content"
    __table_args__ = (
        # By attachment, to find out whether a file is still named. Only rows with attachments are in it.
        Index(
            "ix_notification_content_attachments",
            "attachments",
            postgresql_using="gin",
            postgresql_ops={"attachments": "jsonb_path_ops"},
            postgresql_where=_HAS_FILES,
            sqlite_where=_HAS_FILES,
        ),
    )

    notification_id: UUID = Field(primary_key=True, foreign_key="notification.id")
    variables: dict[str, Any] = Field(sa_type=build_json_type())
    headers: dict[str, str] = Field(sa_type=build_json_type())
    content: dict[str, str | None] | None = Field(default=None, sa_type=build_json_type())  # subject, html, text
    addressed_to: str | None = Field(default=None, max_length=320)  # the To field, if there are copies
    cc: list[str] | None = Field(default=None, sa_type=build_json_type())  # the Cc field
    attachments: list[dict[str, Any]] | None = Field(
        default=None, sa_type=build_json_type()
    )  # names and hashes of the attachments
    # Whether the secret variables were replaced. The default is for writers of a release before this column.
    secrets_erased: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class NotificationTag(Table, table=True):
    """A tag of a notification, for searches."""

    __tablename__ = "notification_tag"

    service_id: UUID = Field(primary_key=True)
    tag: str = Field(primary_key=True, max_length=64)
    notification_id: UUID = Field(primary_key=True)


class StatusIndex(Table, table=True):
    """The notifications with one of the rare statuses. Only the status writer writes it."""

    __tablename__ = "status_index"
    __table_args__ = (
        Index("ix_status_index_status", "service_id", "status", "notification_id"),
        Index("ix_status_index_all", "status", "notification_id"),  # over all services
    )

    notification_id: UUID = Field(primary_key=True)
    service_id: UUID
    status: Status = Field(sa_type=build_enum_type(Status, "status"))


class Batch(Table, table=True):
    """The notifications of one batch request."""

    __tablename__ = "batch"

    id: UUID = Field(primary_key=True)
    service_id: UUID
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str = Field(max_length=64)
    size: int  # number of notifications
    cancelled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # no mail of it is started after this time
    cancelled_by: str | None = Field(default=None, max_length=64)
    cancel_comment: str | None = Field(default=None, max_length=1000)
    paused_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # its queued mails wait meanwhile
    written: int | None = None  # of a merge: notifications that were written so far; None: a batch request


class Attachment(Table, table=True):
    """The bytes of an attachment, stored once for each SHA-256."""

    __tablename__ = "attachment"

    sha256: bytes = Field(primary_key=True)
    octets: bytes
    created_at: datetime = Field(sa_type=UtcDateTime)  # renewed when a request names it again, to within an hour


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
