"""Cancel, retry and resolve a notification: each action writes its event in the timeline and its audit record.

First the outbox entry is withdrawn, then the status is changed: senders lock them in the same order. An action that is
not possible raises an error, so that the caller's transaction is rolled back. Nothing here commits.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor, AuditAction
from notifier.auth.authenticated_key import MailRights
from notifier.db.dialect import confirm_read
from notifier.db.tables import Batch, Notification, NotificationContent, NotificationEvent, get_columns
from notifier.errors import NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import NewEntry
from notifier.states import (
    CANCELLABLE_STATUSES,
    RETRYABLE_STATUSES,
    EntryKind,
    EventKind,
    Priority,
    Reason,
    Resolution,
    Status,
    TransitionCause,
)
from notifier.status.status_writer import RequestedChange, StatusChange, apply_requested_change

_notification, _event, _batch = get_columns(Notification), get_columns(NotificationEvent), get_columns(Batch)
_content = get_columns(NotificationContent)
MAX_COMMENT_LENGTH = 900
"""Notifications that are retried in one transaction."""
_BATCH_CANCELLED_TEXT = "its batch was cancelled, so it cannot be sent again: submit it as a new notification"
_RESOLVABLE = frozenset({Status.UNKNOWN})
_STATUS_AFTER = {Resolution.SENT: Status.SENT, Resolution.FAILED: Status.FAILED, Resolution.RESEND: Status.QUEUED}


class NotPossibleError(NotifierError):
    """The action is not possible in the present status of the notification."""


class AlreadyUnderWayError(NotPossibleError):
    """The mail is being sent at this moment, or may have been sent."""


class AlreadyEndedError(NotPossibleError):
    """The notification has ended."""


class NotRetryableError(NotPossibleError):
    """Only a notification that failed or expired can be retried."""


class NotUnknownError(NotPossibleError):
    """Only a notification whose status is unknown can be resolved."""


class BatchCancelledError(NotPossibleError):
    """Its batch was cancelled: none of its mails is sent again."""


class ContentErasedError(NotPossibleError):
    """Its content was erased, so it cannot be sent again: submit it as a new notification."""


async def cancel_notification(
    connection: AsyncConnection, id_: UUID, *, actor: Actor, rights: MailRights | None, comment: str = ""
) -> None:
    """Stop the mail and its copies before they are sent; those that are cancelled already are not changed.

    `rights`: which notifications the caller may change; None for an operator, who may change all. Raises
    `NotFoundError`. If nothing could be stopped, raises `AlreadyUnderWayError` (a body may have begun) or
    `AlreadyEndedError`.
    """
    statement = select(_notification.id).where(_notification.parent_id == id_).order_by(_notification.id)
    copies = list((await connection.execute(statement)).scalars())
    if not copies:
        await _cancel_single(connection, id_, actor, rights, comment)
        return
    refused: list[NotPossibleError] = []
    for notification_id in (id_, *copies):
        try:
            async with connection.begin_nested():  # an entry that is withdrawn in vain comes back
                await _cancel_single(connection, notification_id, actor, rights, comment)
        except NotPossibleError as error:
            refused.append(error)
    if len(refused) == 1 + len(copies):
        raise refused[0]


async def _cancel_single(
    connection: AsyncConnection, id_: UUID, actor: Actor, rights: MailRights | None, comment: str
) -> None:
    current = await _load_current(connection, id_, rights)
    if current.status in CANCELLABLE_STATUSES:
        await _withdraw_entry(connection, current)
        change = _build_requested_change(EventKind.CANCELLED, actor, rights, CANCELLABLE_STATUSES, comment)
        step = StatusChange(notification_id=id_, to=Status.CANCELLED, at=actor.at)
        if await apply_requested_change(connection, step, change):
            await _record(connection, AuditAction.NOTIFICATION_CANCELLED, current, Status.CANCELLED, actor, comment)
            return
        current = await _load_current(connection, id_, rights)  # another transaction has just changed it
    if current.status is Status.UNKNOWN:
        raise AlreadyUnderWayError("a relay may have the mail already: resolve the notification instead")
    if current.status is not Status.CANCELLED:
        raise AlreadyEndedError(f"it cannot be cancelled any more: it is {current.status}")
    await confirm_read(connection)
    actor.record_no_change()


async def retry_notification(
    connection: AsyncConnection, id_: UUID, *, actor: Actor, rights: MailRights | None, comment: str = ""
) -> None:
    """Start a failed or expired notification over: the same bytes, due now, with the same lifetime as before.

    Raises `NotFoundError`, `NotRetryableError`, `BatchCancelledError` or `ContentErasedError`, or `InvalidRequestError`
    if the caller could not submit it today.
    """
    current = await _load_current(connection, id_, rights)
    if current.status not in RETRYABLE_STATUSES:
        raise NotRetryableError(f"only what failed or expired can be retried: it is {current.status}")
    if current.batch_cancelled_at is not None:
        raise BatchCancelledError(_BATCH_CANCELLED_TEXT)
    if rights is not None:
        rights.require_sendable([current])
    await _withdraw_entry(connection, current)
    expires_at = actor.at + await _compute_lifetime(connection, current)
    change = _build_requested_change(EventKind.RETRIED, actor, rights, RETRYABLE_STATUSES, comment, expires_at)
    step = StatusChange(notification_id=id_, to=Status.QUEUED, at=actor.at)
    if not await apply_requested_change(connection, step, change):
        raise NotRetryableError("somebody else has just changed it")
    await _require_content(connection, current)
    await enqueue_again(connection, current, Priority(current.priority), actor.at)
    await _record(connection, AuditAction.NOTIFICATION_RETRIED, current, Status.QUEUED, actor, comment)


async def resolve_notification(
    connection: AsyncConnection,
    id_: UUID,
    resolution: Resolution,
    *,
    actor: Actor,
    rights: MailRights | None,
    comment: str = "",
) -> None:
    """Decide about a mail whose outcome is unknown; its `uncertain_at` is kept.

    Raises `NotFoundError`, `NotUnknownError`, and `AlreadyUnderWayError` if it is being sent again at this moment. To
    send it again raises `BatchCancelledError`, `ContentErasedError`, and `InvalidRequestError` if the caller could not
    submit it today.
    """
    current = await _load_current(connection, id_, rights)
    if current.status not in _RESOLVABLE:
        raise NotUnknownError(f"only what is unknown can be resolved: it is {current.status}")
    is_resend, status = resolution is Resolution.RESEND, _STATUS_AFTER[resolution]
    if is_resend and current.batch_cancelled_at is not None:
        raise BatchCancelledError(_BATCH_CANCELLED_TEXT)
    if is_resend and rights is not None:
        rights.require_sendable([current])
    await _withdraw_entry(connection, current)
    expires_at = None
    if is_resend and current.expires_at <= actor.at:
        expires_at = actor.at + await _compute_lifetime(connection, current)
    detail = f"as {resolution}: {comment}" if comment else f"as {resolution}"
    change = _build_requested_change(EventKind.RESOLVED, actor, rights, _RESOLVABLE, detail, expires_at)
    step = StatusChange(
        notification_id=id_,
        to=status,
        at=actor.at,
        reason=None if is_resend else Reason.RESOLVED,
        detail=None if is_resend else detail,
    )
    if not await apply_requested_change(connection, step, change):
        raise NotUnknownError("somebody else has just changed it")
    if is_resend:
        await _require_content(connection, current)
        await enqueue_again(connection, current, Priority(current.priority), actor.at)
    await _record(connection, AuditAction.NOTIFICATION_RESOLVED, current, status, actor, comment)


# -- the steps, in order -----------------------------------------------------------------------------------------------


async def _load_current(connection: AsyncConnection, id_: UUID, rights: MailRights | None) -> Any:
    names = ("id", "parent_id", "service_id", "address_key", "recipient", "from_address", "kind", "status", "priority")
    statement = (
        select(*(_notification[name] for name in (*names, "send_at", "expires_at")))
        .add_columns(_batch.cancelled_at.label("batch_cancelled_at"))
        .outerjoin(Batch, _batch.id == _notification.batch_id)
        .where(_notification.id == id_, *(rights.get_conditions() if rights is not None else ()))
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise NotFoundError("there is no such notification")
    return row


async def _withdraw_entry(connection: AsyncConnection, current: Any) -> None:
    """Withdraw its entry, leased or not. Raises `AlreadyUnderWayError` if a body is permitted."""
    if not await entry_store.withdraw_entry(connection, current.service_id, current.id):
        raise AlreadyUnderWayError


async def _require_content(connection: AsyncConnection, current: Any) -> None:
    """Raise `ContentErasedError` unless the mail can still be made.

    The caller has just written its row. The purge locks the row before it erases the content, so it does not come
    between this look and the commit.
    """
    holders = [id_ for id_ in (current.id, current.parent_id) if id_ is not None]
    query = select(_content.secrets_erased).where(_content.notification_id.in_(holders))
    stored = (await connection.execute(query.order_by(_content.notification_id.desc()))).scalars().all()
    if not stored:
        raise ContentErasedError
    if any(stored):
        raise ContentErasedError(
            "its secret variables were erased, so it cannot be sent again: submit it as a new notification"
        )


async def _compute_lifetime(connection: AsyncConnection, current: Any) -> timedelta:
    """The time from when it was last put into the queue to its expiry."""
    last = select(func.max(_event.at)).where(_event.notification_id == current.id, _event.kind == EventKind.RETRIED)
    retried_at: datetime | None = (await connection.execute(last)).scalar_one()
    lifetime: timedelta = current.expires_at - (retried_at or current.send_at)
    return lifetime


async def enqueue_again(connection: AsyncConnection, row: Any, priority: Priority, due_at: datetime) -> None:
    """Write a new outbox entry without attempts; a late reply about the old entry cannot change it."""
    entry = NewEntry(
        id=generate_id(),
        kind=EntryKind.EMAIL,
        subject_id=row.id,
        service_id=row.service_id,
        priority=priority,
        due_at=due_at,
    )
    await entry_store.enqueue_entries(connection, [entry])


def _build_requested_change(
    kind: EventKind,
    actor: Actor,
    rights: MailRights | None,
    only_from: frozenset[Status],
    detail: str,
    expires_at: datetime | None = None,
) -> RequestedChange:
    return RequestedChange(
        kind=kind,
        actor=actor.name,
        cause=TransitionCause.CALLER if rights is not None else TransitionCause.PERSON,
        only_from=only_from,
        detail=detail,
        expires_at=expires_at,
    )


async def _record(
    connection: AsyncConnection, action: AuditAction, before: Any, status: Status, actor: Actor, comment: str
) -> None:
    record = audit.AuditRecord(
        action=action,
        object_id=before.id,
        service_id=before.service_id,
        address=before.address_key,
        before={"status": before.status},
        after={"status": status} | ({"comment": comment} if comment else {}),
    )
    await audit.write_audit_record(connection, record, actor)
