"""The audit: who did what to which object. A record is written in the transaction of the change itself.

Only the column `address` names a person, so that the name can be erased. `before` and `after` never hold a secret, a
variable or content. The database refuses every change of a record (docs/decisions/audit.md).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import AuditEntry, get_columns
from notifier.ids import generate_id

_entry = get_columns(AuditEntry)
# Comments and replies of relays may contain addresses: "550 5.1.1 <ada@example.com> unknown". A domain alone is kept.
_ADDRESS_PATTERN = re.compile(r"(?<![^\s@<>()\[\]{},;:\"'|\\/])[^\s@<>()\[\]{},;:\"'|\\/]+@[^\s@<>(){},;:\"'|\\/]+")
REDACTED = "[address]"
_FORBIDDEN_NAMES = re.compile(
    r"secret|password|token|variables|content|html|text|body|hash|^key$|^address$|^to$|recipient"
)


class AuditAction(StrEnum):
    """What was done; the part before the dot is the kind of object, or `content`."""

    ASSET_UPLOADED = "asset.uploaded"
    ASSET_DELETED = "asset.deleted"
    BATCH_CANCELLED = "batch.cancelled"
    NOTIFICATION_CHANGED = "notification.changed"
    NOTIFICATION_CANCELLED = "notification.cancelled"
    NOTIFICATION_RETRIED = "notification.retried"
    NOTIFICATION_RESOLVED = "notification.resolved"
    CONTENT_VIEWED = "content.viewed"
    FEED_SAVED = "feed.saved"
    FEED_DELETED = "feed.deleted"
    FEED_REQUESTED = "feed.requested"  # to be fetched now
    FEED_CONFIRMED = "feed.confirmed"  # a document that is suddenly empty
    JOB_CANCELLED = "job.cancelled"
    JOB_PAUSED = "job.paused"
    JOB_RESUMED = "job.resumed"
    JOB_RETRIED = "job.retried"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    KEY_ROTATED = "key.rotated"
    LAYOUT_SAVED = "layout.saved"
    LAYOUT_DELETED = "layout.deleted"
    MERGE_CREATED = "merge.created"
    MERGE_STARTED = "merge.started"
    MERGE_PAUSED = "merge.paused"
    MERGE_RESUMED = "merge.resumed"
    MERGE_CANCELLED = "merge.cancelled"
    SCHEDULE_SAVED = "schedule.saved"
    SCHEDULE_DELETED = "schedule.deleted"
    SCHEDULE_TRIGGERED = "schedule.triggered"
    SERVICE_CHANGED = "service.changed"
    SERVICE_CREATED = "service.created"
    STAFF_CREATED = "staff.created"
    STAFF_CHANGED = "staff.changed"  # name or roles
    STAFF_DISABLED = "staff.disabled"
    STAFF_ENABLED = "staff.enabled"
    STAFF_LINK_CREATED = "staff.link_created"  # a one-time link to set a password
    STAFF_PASSWORD_SET = "staff.password_set"  # noqa: S105 - not a password
    STAFF_SIGNED_IN = "staff.signed_in"
    STAFF_SIGNED_OUT = "staff.signed_out"
    STAFF_SESSION_REVOKED = "staff.session_revoked"
    SUPPRESSION_ADDED = "suppression.added"
    SUPPRESSION_EXTENDED = "suppression.extended"
    SUPPRESSION_LIFTED = "suppression.lifted"
    TEMPLATE_SAVED = "template.saved"
    TEMPLATE_DISCARDED = "template.discarded"
    TEMPLATE_PUBLISHED = "template.published"
    TEMPLATE_RESTORED = "template.restored"
    TEMPLATE_DELETED = "template.deleted"
    TEMPLATE_TESTED = "template.tested"
    TEMPLATE_UNMASKED = "template.unmasked"  # secret values of a request were shown
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_CHANGED = "webhook.changed"
    WEBHOOK_DELETED = "webhook.deleted"
    WEBHOOK_SIGNING_ROTATED = "webhook.rotated"
    WEBHOOK_TESTED = "webhook.tested"
    WEBHOOK_REPLAYED = "webhook.replayed"


class ObjectKind(StrEnum):
    """The kind of object that was changed."""

    ASSET = "asset"
    BATCH = "batch"
    FEED = "feed"
    JOB = "job"
    KEY = "key"
    LAYOUT = "layout"
    MERGE = "merge"
    NOTIFICATION = "notification"
    SCHEDULE = "schedule"
    SERVICE = "service"
    STAFF = "staff"
    SUPPRESSION = "suppression"
    TEMPLATE = "template"
    WEBHOOK = "webhook"


class NotForTheAuditError(ValueError):
    """A field that must not be kept for ever cannot be written into the audit."""


@dataclass(kw_only=True)
class Actor:
    """Who acts, when, and by which request; and whether its operation has reported to the audit."""

    name: str  # `key:<id>`, `staff:<id>`, `operator:<name>`
    at: datetime
    request_id: str | None = None  # None: not through the API
    has_answered: bool = False  # an audit record was written, or the operation reported that it changed nothing

    def record_no_change(self) -> None:
        """Report that the operation succeeded and changed nothing, such as a second cancel."""
        self.has_answered = True


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """What was done to which object; `before` and `after` have only the fields of interest."""

    action: AuditAction
    object_id: UUID
    service_id: UUID | None  # the owner of the object; None: the instance
    address: str | None = None  # of the person concerned
    before: Mapping[str, Any] | None = None  # None: the object did not exist
    after: Mapping[str, Any] | None = None  # None: the object no longer exists, and there is no comment

    @property
    def object_kind(self) -> ObjectKind:
        """The kind of object, which the action names; content is that of a notification."""
        kind = self.action.partition(".")[0]
        return ObjectKind.NOTIFICATION if kind == "content" else ObjectKind(kind)


@dataclass(frozen=True, kw_only=True)
class AuditRecordView:
    """An audit record as it is shown."""

    id: UUID
    at: datetime
    actor: str
    action: str
    object_kind: str
    object_id: str
    address: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str | None


@dataclass(frozen=True, kw_only=True)
class AuditFilter:
    """Which records are listed; None: any."""

    object_kind: str | None = None
    object_id: str | None = None
    actor: str | None = None


async def write_audit_record(connection: AsyncConnection, record: AuditRecord, actor: Actor) -> UUID:
    """Write the record in the transaction of the change; returns its id. Raises `NotForTheAuditError`."""
    values = {
        "id": generate_id(),
        "at": actor.at,
        "actor": actor.name[:64],
        "service_id": record.service_id,
        "action": record.action,
        "object_kind": record.object_kind,
        "object_id": str(record.object_id),
        "address": record.address,
        "before": _redact_state(record.before),
        "after": _redact_state(record.after),
        "request_id": actor.request_id,
    }
    present = {name: value for name, value in values.items() if value is not None}  # None would be JSON's null
    await connection.execute(insert(AuditEntry).values(present))
    actor.has_answered = True
    return UUID(str(values["id"]))


async def list_audit_records(
    connection: AsyncConnection, service_id: UUID | None, filters: AuditFilter, *, before: UUID | None, limit: int
) -> list[AuditRecordView]:
    """List the records of a service's objects, or of the instance's if `service_id` is None, newest first."""
    statement = select(*(_entry[name] for name in AuditRecordView.__dataclass_fields__))
    statement = statement.where(_entry.service_id == service_id)
    for name, value in vars(filters).items():
        if value is not None:
            statement = statement.where(_entry[name] == value)
    if before is not None:
        statement = statement.where(_entry.id < before)
    rows = await connection.execute(statement.order_by(_entry.id.desc()).limit(limit))
    return [AuditRecordView(**row) for row in rows.mappings()]


def _redact_state(state: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Convert a state to JSON without addresses. Raises `NotForTheAuditError`."""
    return None if state is None else {name: _redact_value(value, name) for name, value in state.items()}


def _redact_value(value: Any, name: str) -> Any:
    if _FORBIDDEN_NAMES.search(name):
        raise NotForTheAuditError(f"{name} must not be written into the audit")
    if isinstance(value, Mapping):
        return {key: _redact_value(part, str(key)) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_value(part, name) for part in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
    return _ADDRESS_PATTERN.sub(REDACTED, text)
