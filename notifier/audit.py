"""Who did what to which object: written in the transaction of the deed itself, so that neither is there alone.

A person is named in the column for the address and nowhere else, where forgetting them finds it; what was before and
after never holds a secret, a variable or content. The database refuses every change of what is written.
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

_entry_columns = get_columns(AuditEntry)
# Words of people and relays may name anybody: "550 5.1.1 <ada@example.com> unknown". A domain alone is nobody.
_ADDRESS_PATTERN = re.compile(r"(?<![^\s@<>()\[\]{},;:\"'|\\/])[^\s@<>()\[\]{},;:\"'|\\/]+@[^\s@<>(){},;:\"'|\\/]+")
REDACTED = "[address]"
_FORBIDDEN_NAMES = re.compile(
    r"secret|password|token|variables|content|html|text|body|hash|^key$|^address$|^to$|recipient"
)


class AuditAction(StrEnum):
    """What was done; the part before the dot is the kind of object."""

    ASSET_UPLOADED = "asset.uploaded"
    ASSET_DELETED = "asset.deleted"
    BATCH_CANCELLED = "batch.cancelled"
    NOTIFICATION_CHANGED = "notification.changed"
    NOTIFICATION_CANCELLED = "notification.cancelled"
    NOTIFICATION_RETRIED = "notification.retried"
    NOTIFICATION_RESOLVED = "notification.resolved"
    CONTENT_VIEWED = "content.viewed"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    KEY_ROTATED = "key.rotated"
    LAYOUT_SAVED = "layout.saved"
    LAYOUT_DELETED = "layout.deleted"
    SERVICE_CHANGED = "service.changed"
    SUPPRESSION_ADDED = "suppression.added"
    SUPPRESSION_EXTENDED = "suppression.extended"
    SUPPRESSION_LIFTED = "suppression.lifted"
    TEMPLATE_SAVED = "template.saved"
    TEMPLATE_DISCARDED = "template.discarded"
    TEMPLATE_PUBLISHED = "template.published"
    TEMPLATE_RESTORED = "template.restored"
    TEMPLATE_DELETED = "template.deleted"
    TEMPLATE_TESTED = "template.tested"
    TEMPLATE_UNMASKED = "template.unmasked"  # secret values of what was asked for were looked at
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_CHANGED = "webhook.changed"
    WEBHOOK_DELETED = "webhook.deleted"
    WEBHOOK_SIGNING_ROTATED = "webhook.rotated"
    WEBHOOK_TESTED = "webhook.tested"
    WEBHOOK_REPLAYED = "webhook.replayed"


class ObjectKind(StrEnum):
    """What it was done to."""

    ASSET = "asset"
    BATCH = "batch"
    KEY = "key"
    LAYOUT = "layout"
    NOTIFICATION = "notification"
    SERVICE = "service"
    SUPPRESSION = "suppression"
    TEMPLATE = "template"
    WEBHOOK = "webhook"


class NotForTheAuditError(ValueError):
    """A field that must not be kept for ever was about to be written into the audit."""


@dataclass(kw_only=True)
class Actor:
    """Who acts, when and by which request; it also remembers that its operation has answered for itself."""

    name: str  # `key:<id>`, `operator:<name>`
    at: datetime
    request_id: str | None = None  # None: not by the API
    has_answered: bool = False  # an audit record was written, or the operation said that it changed nothing

    def record_no_change(self) -> None:
        """Say that the operation was fine and changed nothing, such as a second cancel."""
        self.has_answered = True


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """What was done to which object; `before` and `after` have the fields that matter and nothing else."""

    action: AuditAction
    object_kind: ObjectKind
    object_id: UUID
    service_id: UUID | None  # whose the object is; None: the instance's
    address: str | None = None  # of the person whom it concerns
    before: Mapping[str, Any] | None = None  # None: it was not there
    after: Mapping[str, Any] | None = None  # None: it is gone, and nobody said why


@dataclass(frozen=True, kw_only=True)
class AuditRecordView:
    """A deed as those see it who look for it."""

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
    """Which deeds; None: any."""

    object_kind: str | None = None
    object_id: str | None = None
    actor: str | None = None


async def write_audit_record(connection: AsyncConnection, deed: AuditRecord, doer: Actor) -> UUID:
    """Write the deed in the transaction in which it is done; the id of the entry."""
    values = {
        "id": generate_id(),
        "at": doer.at,
        "actor": doer.name[:64],
        "service_id": deed.service_id,
        "action": deed.action,
        "object_kind": deed.object_kind,
        "object_id": str(deed.object_id),
        "address": deed.address,
        "before": _redact_state(deed.before),
        "after": _redact_state(deed.after),
        "request_id": doer.request_id,
    }
    there = {name: value for name, value in values.items() if value is not None}  # None would be JSON's null
    await connection.execute(insert(AuditEntry).values(there))
    doer.has_answered = True
    return UUID(str(values["id"]))


async def list_audit_records(
    connection: AsyncConnection, service_id: UUID | None, wanted: AuditFilter, *, before: UUID | None, limit: int
) -> list[AuditRecordView]:
    """What was done to a service's objects, or to the instance's, newest first."""
    statement = select(*(_entry_columns[name] for name in AuditRecordView.__dataclass_fields__)).where(
        _entry_columns.service_id == service_id
    )
    for name, value in vars(wanted).items():
        if value is not None:
            statement = statement.where(_entry_columns[name] == value)
    if before is not None:
        statement = statement.where(_entry_columns.id < before)
    found = await connection.execute(statement.order_by(_entry_columns.id.desc()).limit(limit))
    return [AuditRecordView(**row) for row in found.mappings()]


def _redact_state(state: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A state as JSON, without what would name a person. Raises `NotForTheAuditError`."""
    return None if state is None else {name: _redact_value(value, name) for name, value in state.items()}


def _redact_value(value: Any, name: str) -> Any:
    if _FORBIDDEN_NAMES.search(name):
        raise NotForTheAuditError(f"{name} is not kept in the audit")
    if isinstance(value, Mapping):
        return {key: _redact_value(part, str(key)) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_value(part, name) for part in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
    return _ADDRESS_PATTERN.sub(REDACTED, text)
