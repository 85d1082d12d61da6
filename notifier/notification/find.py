"""Looking notifications up: one with its attempts, or a page of a service's, newest first."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Attempt, Notification, OutboxEntry, Template, TemplateVersion, columns
from notifier.errors import NotFoundError
from notifier.outcomes import OutcomeName, Phase
from notifier.states import EntryState, Priority, Reason, Status

_notification, _attempt, _entry = columns(Notification), columns(Attempt), columns(OutboxEntry)
_template, _version = columns(Template), columns(TemplateVersion)


@dataclass(frozen=True, kw_only=True)
class AttemptView:
    """One try, as people read it."""

    number: int
    started_at: datetime
    duration_ms: int
    relay: str
    phase: Phase
    outcome: OutcomeName
    code: int | None
    enhanced_code: str | None
    reply: str


@dataclass(frozen=True, kw_only=True)
class NotificationView:
    """A notification, as people read it."""

    id: UUID
    status: Status
    reason: Reason | None
    detail: str | None
    recipient: str
    template: str
    template_version: int
    locale: str | None
    priority: Priority
    message_id: str
    created_at: datetime
    updated_at: datetime
    send_at: datetime
    expires_at: datetime
    uncertain_at: datetime | None
    due_at: datetime | None  # next try; None while one is under way and after the end
    attempts: list[AttemptView] = field(default_factory=list)


_OWN = [name for name in NotificationView.__dataclass_fields__ if name in _notification]
_WAITING_ENTRY = and_(_entry.subject_id == _notification.id, _entry.state == EntryState.READY)


def _view() -> Select[*tuple[object, ...]]:
    return (
        select(*(_notification[name] for name in _OWN))
        .add_columns(_template.slug.label("template"), _version.number.label("template_version"), _entry.due_at)
        .join(TemplateVersion, _version.id == _notification.template_version_id)
        .join(Template, _template.id == _version.template_id)
        .outerjoin(OutboxEntry, _WAITING_ENTRY)
    )


async def one(connection: AsyncConnection, service_id: UUID, id_: UUID) -> NotificationView:
    """A service's notification with its attempts. Raises `NotFoundError`, also for another service's."""
    found = await connection.execute(_view().where(_notification.id == id_, _notification.service_id == service_id))
    row = found.mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such notification")
    names = list(AttemptView.__dataclass_fields__)
    tried = await connection.execute(
        select(*(_attempt[name] for name in names)).where(_attempt.notification_id == id_).order_by(_attempt.id)
    )
    return NotificationView(**row, attempts=[AttemptView(**attempt) for attempt in tried.mappings()])


async def page(
    connection: AsyncConnection, service_id: UUID, *, before: UUID | None, limit: int
) -> list[NotificationView]:
    """A service's newest notifications older than `before`, without their attempts."""
    statement = _view().where(_notification.service_id == service_id)
    if before is not None:
        statement = statement.where(_notification.id < before)
    found = await connection.execute(statement.order_by(_notification.id.desc()).limit(limit))
    return [NotificationView(**row) for row in found.mappings()]
