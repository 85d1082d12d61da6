"""Change a notification that has not been tried yet: its times, its priority, its variables; with all its copies.

The outbox entry is withdrawn and a new one is made, so a sender that has claimed the old one gets no mark. If a change
is not possible, an error is raised, so that the caller's transaction is rolled back. Nothing here commits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor
from notifier.auth.authenticated_key import MailRights
from notifier.db.tables import Attempt, Notification, NotificationContent, NotificationEvent, get_columns
from notifier.errors import Fault, InvalidRequestError, NotFoundError
from notifier.outbox import entry_store
from notifier.states import WAITING_STATUSES, EventKind, Priority, Status
from notifier.status.notification_actions import (
    AlreadyEndedError,
    AlreadyUnderWayError,
    NotPossibleError,
    enqueue_again,
)
from notifier.status.status_writer import build_event_row
from notifier.submission import request_validation
from notifier.submission.new_notification import DeliveryTimes, NotificationRequest
from notifier.templating import version_store as templates

_notification, _attempt, _content = get_columns(Notification), get_columns(Attempt), get_columns(NotificationContent)
_ID = _notification.id.type
_READ = (
    "id", "service_id", "address_key", "recipient", "from_address", "kind", "parent_id", "status", "priority",
    "send_at", "expires_at", "created_at", "updated_at", "template_version_id",
)  # fmt: skip
# As text, because only `status_writer` may build updates of this table. It does not change the status.
_CHANGE = text("""
UPDATE notification
SET send_at = :send_at, message_date = :message_date, expires_at = :expires_at, priority = :priority, updated_at = :at
WHERE id = :id AND status = 'queued' AND updated_at = :seen RETURNING id
""").bindparams(
    bindparam("id", type_=_ID),
    *(
        bindparam(name, type_=_notification.send_at.type)
        for name in ("send_at", "message_date", "expires_at", "at", "seen")
    ),
)


class AlreadyAttemptedError(NotPossibleError):
    """It has been tried already. It cannot be changed, because every attempt sends the same mail."""


class IsACopyError(NotPossibleError):
    """This is a copy: change the notification that it is a copy of."""


@dataclass(frozen=True, kw_only=True)
class NotificationChanges:
    """The new values; None: no change."""

    variables: Mapping[str, Any] | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    priority: Priority | None = None

    @property
    def field_names(self) -> list[str]:
        """The fields to change."""
        return [name for name, value in vars(self).items() if value is not None]


async def change_notification(
    connection: AsyncConnection, id_: UUID, changes: NotificationChanges, *, actor: Actor, rights: MailRights | None
) -> None:
    """Change a notification and its copies before the first attempt.

    Raises `NotFoundError`, `InvalidRequestError` with all faults, `IsACopyError`, `AlreadyAttemptedError`,
    `AlreadyUnderWayError` or `AlreadyEndedError`.
    """
    family = await _load_with_copies(connection, id_, rights)
    own, queued = family[0], [row for row in family if row.status is Status.QUEUED]
    if rights is not None:
        rights.require_sendable(queued)
    times = await _validate_changes(connection, own, changes, actor.at)
    for row in queued:
        await _change_row(connection, row, changes, times, actor.at)
    if changes.variables is not None:  # copies share them; those that an earlier release wrote have their own
        contents = update(NotificationContent).where(_content.notification_id.in_([row.id for row in family]))
        await connection.execute(contents.values(variables=dict(changes.variables)))
    event = build_event_row(id_, EventKind.CHANGED, actor.name, actor.at, ", ".join(changes.field_names))
    await connection.execute(insert(NotificationEvent).values(event))
    record = audit.AuditRecord(
        action=audit.AuditAction.NOTIFICATION_CHANGED,
        object_id=id_,
        service_id=own.service_id,
        address=own.address_key,
        before={"send_at": own.send_at, "expires_at": own.expires_at, "priority": own.priority},
        after={"send_at": times.send_at, "expires_at": times.expires_at, "fields": changes.field_names},
    )
    await audit.write_audit_record(connection, record, actor)


# -- the steps, in order -----------------------------------------------------------------------------------------------


async def _load_with_copies(connection: AsyncConnection, id_: UUID, rights: MailRights | None) -> list[Any]:
    """The notification and its copies, none of them tried yet; its own row is the first."""
    statement = select(*(_notification[name] for name in _READ))
    statement = statement.where(or_(_notification.id == id_, _notification.parent_id == id_))
    if rights is not None:
        statement = statement.where(*rights.get_conditions())
    family = (await connection.execute(statement.order_by(_notification.id))).all()
    own = next((row for row in family if row.id == id_), None)
    if own is None:
        raise NotFoundError("there is no such notification")
    if own.parent_id is not None:
        raise IsACopyError
    if own.status not in WAITING_STATUSES:
        raise AlreadyEndedError(f"it cannot be changed any more: it is {own.status}")
    attempts = select(_attempt.id).where(_attempt.notification_id.in_([row.id for row in family])).limit(1)
    is_tried = any(row.status in WAITING_STATUSES - {Status.QUEUED} for row in family)
    if is_tried or (await connection.execute(attempts)).first():
        raise AlreadyAttemptedError
    return [own, *(row for row in family if row.id != id_)]


async def _validate_changes(
    connection: AsyncConnection, own: Any, changes: NotificationChanges, now: datetime
) -> DeliveryTimes:
    faults: list[Fault] = []
    if changes.variables is not None:
        faults += await _check_new_variables(connection, own.template_version_id, changes.variables)
    times, time_faults = _compute_new_times(own, changes, now)
    if faults := [*faults, *time_faults]:
        raise InvalidRequestError(faults)
    return times


async def _check_new_variables(
    connection: AsyncConnection, version_id: UUID | None, variables: Mapping[str, Any]
) -> list[Fault]:
    if version_id is None:
        return [Fault("/variables", "needs_template", "content is sent as it is")]
    version = await templates.get_version_by_id(connection, version_id)
    return request_validation.check_variables(version, variables) if version else []


def _compute_new_times(own: Any, changes: NotificationChanges, now: datetime) -> tuple[DeliveryTimes, list[Fault]]:
    """The new times. A new `send_at` moves the expiry by as much, unless the changes have one."""
    if changes.send_at is None and changes.expires_at is None:
        return DeliveryTimes(send_at=own.send_at, expires_at=own.expires_at), []
    lifetime: timedelta = own.expires_at - own.send_at
    request = NotificationRequest(send_at=changes.send_at or max(own.send_at, now), expires_at=changes.expires_at)
    times, faults = request_validation.compute_times(request, None, now)
    if changes.expires_at is None:
        times = DeliveryTimes(send_at=times.send_at, expires_at=times.send_at + lifetime)
    return times, faults


async def _change_row(
    connection: AsyncConnection, row: Any, changes: NotificationChanges, times: DeliveryTimes, now: datetime
) -> None:
    """Withdraw the entry first, because senders lock in that order; then write, and queue it again."""
    if not await entry_store.withdraw_entry(connection, row.service_id, row.id):
        raise AlreadyUnderWayError
    priority = changes.priority or Priority(row.priority)
    values = {
        "id": row.id,
        "send_at": times.send_at,
        "message_date": max(row.created_at, times.send_at),
        "expires_at": times.expires_at,
        "priority": priority.value,
        "at": now,
        "seen": row.updated_at,
    }
    if (await connection.execute(_CHANGE, values)).first() is None:
        raise AlreadyUnderWayError("somebody else has just changed it: read it again, and repeat your change")
    await enqueue_again(connection, row, priority, times.send_at)
