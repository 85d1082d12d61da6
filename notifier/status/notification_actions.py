"""What callers and operators do to a notification: cancel, retry, resolve; each with its event in the timeline.

Each says what it has done, for the audit. The outbox entry is taken back first and the status moved then, in the order
in which senders lock them; what cannot be done raises, so that the caller's transaction gives the entry back.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import AuditAction, ObjectKind
from notifier.auth.mail_rights import MailRights
from notifier.db.tables import Batch, Notification, NotificationEvent, StatusIndex, get_columns
from notifier.errors import NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.outbox import entry_store
from notifier.outbox.handler import NewEntry
from notifier.states import (
    CANCELLABLE_STATUSES,
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
MAX_COMMENT_LENGTH = 900
MAX_RETRY_BATCH = 200
"""Notifications that are retried in one transaction."""
_RETRYABLE = frozenset({Status.FAILED, Status.EXPIRED})
_BATCH_CANCELLED_TEXT = "its batch was cancelled, so it cannot be sent again: submit it anew"
_RESOLVABLE = frozenset({Status.UNKNOWN})
_STATUS_AFTER = {Resolution.SENT: Status.SENT, Resolution.FAILED: Status.FAILED, Resolution.RESEND: Status.QUEUED}


class NotPossibleError(NotifierError):
    """That cannot be done to this notification as it stands."""


class AlreadyUnderWayError(NotPossibleError):
    """The mail is being handed to a relay at this moment, or may have been."""


class AlreadyEndedError(NotPossibleError):
    """The notification has ended."""


class NotRetryableError(NotPossibleError):
    """Only a notification that failed or expired can be retried."""


class NotUnknownError(NotPossibleError):
    """Only a notification whose status is unknown can be resolved."""


class BatchCancelledError(NotPossibleError):
    """Its batch was cancelled: nothing of it is sent again."""


@dataclass(frozen=True, kw_only=True)
class ChangeRequest:
    """Who wants the change, when, and what they say about it."""

    actor: str
    cause: TransitionCause  # CALLER or PERSON
    rights: MailRights | None  # which notifications they may change; None: an operator, who may change all
    at: datetime
    comment: str = ""  # at most `LONGEST_COMMENT` characters

    def require_sendable(self, rows: Iterable[Any]) -> None:
        """Raise `InvalidRequestError` unless these mails, which could leave now, may be sent by who wants it."""
        if self.rights is not None:
            self.rights.require_sendable(rows)


async def cancel_notification(connection: AsyncConnection, id_: UUID, asked: ChangeRequest) -> list[audit.AuditRecord]:
    """See that the mail is never sent, nor its copies; nothing happens to what is cancelled already. What was done.

    Raises `NotFoundError`, and, if nothing of it could be stopped, `AlreadyUnderWayError` if a body may have begun or
    `AlreadyEndedError`.
    """
    copies = await _list_copy_ids(connection, id_)
    if not copies:
        return await _cancel_single(connection, id_, asked)
    done: list[audit.AuditRecord] = []
    refused: list[NotPossibleError] = []
    for one in (id_, *copies):
        try:
            async with connection.begin_nested():  # what cannot be stopped gets its entry back
                done += await _cancel_single(connection, one, asked)
        except NotPossibleError as error:
            refused.append(error)
    if len(refused) == 1 + len(copies):
        raise refused[0]
    return done


async def _cancel_single(connection: AsyncConnection, id_: UUID, asked: ChangeRequest) -> list[audit.AuditRecord]:
    found = await _load_current(connection, id_, asked)
    if found.status in CANCELLABLE_STATUSES:
        await _withdraw_entry(connection, found)
        deed = _build_requested_change(EventKind.CANCELLED, asked, CANCELLABLE_STATUSES, asked.comment)
        if await apply_requested_change(connection, _build_status_change(id_, Status.CANCELLED, asked), deed):
            return [_build_audit_record(AuditAction.NOTIFICATION_CANCELLED, found, Status.CANCELLED, asked)]
        found = await _load_current(connection, id_, asked)  # somebody was faster
    if found.status is Status.UNKNOWN:
        raise AlreadyUnderWayError("a relay may have the mail already: resolve it instead")
    if found.status is not Status.CANCELLED:
        raise AlreadyEndedError(f"it cannot be cancelled any more: it is {found.status}")
    return []


async def retry_notification(connection: AsyncConnection, id_: UUID, asked: ChangeRequest) -> list[audit.AuditRecord]:
    """Start a failed or expired notification over: the same bytes, due now, worth sending as long as at first.

    Raises `NotFoundError`, `NotRetryableError`, `BatchCancelledError`, and `InvalidRequestError` if it could not be
    submitted today.
    """
    found = await _load_current(connection, id_, asked)
    if found.status not in _RETRYABLE:
        raise NotRetryableError(f"only what failed or expired can be retried: it is {found.status}")
    if found.batch_cancelled_at is not None:
        raise BatchCancelledError(_BATCH_CANCELLED_TEXT)
    asked.require_sendable([found])
    await _withdraw_entry(connection, found)
    expires_at = asked.at + await _compute_lifetime(connection, found)
    deed = _build_requested_change(EventKind.RETRIED, asked, _RETRYABLE, asked.comment, expires_at)
    if not await apply_requested_change(connection, _build_status_change(id_, Status.QUEUED, asked), deed):
        raise NotRetryableError("somebody else has just changed it")
    await _enqueue_again(connection, found, asked)
    return [_build_audit_record(AuditAction.NOTIFICATION_RETRIED, found, Status.QUEUED, asked)]


async def list_failed_ids(connection: AsyncConnection, reason: Reason, *, after: UUID, until: datetime) -> list[UUID]:
    """Ids of notifications that failed for a reason, behind an id, by their ids; at most `MAX_FOUND`.

    Those that fail again after `until`, the start of the command, are left alone.
    """
    listed = get_columns(StatusIndex)
    statement = (
        select(_notification.id)
        .join(StatusIndex, listed.notification_id == _notification.id)
        .where(listed.status.in_(_RETRYABLE), _notification.status.in_(_RETRYABLE), _notification.reason == reason)
        .where(_notification.id > after, _notification.updated_at < until)
        .order_by(_notification.id)
        .limit(MAX_RETRY_BATCH)
    )
    return list((await connection.execute(statement)).scalars())


async def resolve_notification(
    connection: AsyncConnection, id_: UUID, how: Resolution, asked: ChangeRequest
) -> list[audit.AuditRecord]:
    """Decide about a mail of which nobody knows whether it was taken; `uncertain_at` stays on it for ever.

    Raises `NotFoundError`, `NotUnknownError`, `AlreadyUnderWayError` if a resend is on its way, `BatchCancelledError`
    if there is to be one, and `InvalidRequestError` if it is to be sent again and could not be submitted today.
    """
    found = await _load_current(connection, id_, asked)
    if found.status not in _RESOLVABLE:
        raise NotUnknownError(f"only what is unknown can be resolved: it is {found.status}")
    again = how is Resolution.RESEND
    if again and found.batch_cancelled_at is not None:
        raise BatchCancelledError(_BATCH_CANCELLED_TEXT)
    if again:
        asked.require_sendable([found])
    await _withdraw_entry(connection, found)
    expires_at = (
        asked.at + await _compute_lifetime(connection, found) if again and found.expires_at <= asked.at else None
    )
    words = f"as {how}: {asked.comment}" if asked.comment else f"as {how}"
    deed = _build_requested_change(EventKind.RESOLVED, asked, _RESOLVABLE, words, expires_at)
    step = _build_status_change(
        id_, _STATUS_AFTER[how], asked, reason=None if again else Reason.RESOLVED, detail=None if again else words
    )
    if not await apply_requested_change(connection, step, deed):
        raise NotUnknownError("somebody else has just changed it")
    if again:
        await _enqueue_again(connection, found, asked)
    return [_build_audit_record(AuditAction.NOTIFICATION_RESOLVED, found, _STATUS_AFTER[how], asked)]


# -- the steps, in order -------------------------------------------------------------------------------------------


async def _load_current(connection: AsyncConnection, id_: UUID, asked: ChangeRequest) -> Any:
    """The notification as it stands at this moment."""
    statement = select(
        _notification.id,
        _notification.service_id,
        _notification.address_key,
        _notification.recipient,
        _notification.from_address,
        _notification.kind,
        _notification.status,
        _notification.priority,
        _notification.send_at,
        _notification.expires_at,
        _batch.cancelled_at.label("batch_cancelled_at"),
    )
    statement = statement.outerjoin(Batch, _batch.id == _notification.batch_id).where(_notification.id == id_)
    if asked.rights is not None:
        statement = statement.where(*asked.rights.get_conditions())
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise NotFoundError("there is no such notification")
    return row


async def _list_copy_ids(connection: AsyncConnection, id_: UUID) -> list[UUID]:
    found = select(_notification.id).where(_notification.parent_id == id_).order_by(_notification.id)
    return list((await connection.execute(found)).scalars())


async def _withdraw_entry(connection: AsyncConnection, found: Any) -> None:
    """Take its entry back, leased or not, unless a body is permitted."""
    if not await entry_store.withdraw_entry(connection, found.service_id, found.id):
        raise AlreadyUnderWayError


async def _compute_lifetime(connection: AsyncConnection, found: Any) -> timedelta:
    """How long it was worth sending when it was first, or last, put into the queue."""
    last = select(func.max(_event.at)).where(_event.notification_id == found.id, _event.kind == EventKind.RETRIED)
    retried_at: datetime | None = (await connection.execute(last)).scalar_one()
    lifetime: timedelta = found.expires_at - (retried_at or found.send_at)
    return lifetime


async def _enqueue_again(connection: AsyncConnection, found: Any, asked: ChangeRequest) -> None:
    """A new entry, due now, with nothing burnt: a late word about the old one cannot mean it."""
    entry = NewEntry(
        id=generate_id(),
        kind=EntryKind.EMAIL,
        subject_id=found.id,
        service_id=found.service_id,
        priority=Priority(found.priority),
        due_at=asked.at,
    )
    await entry_store.enqueue_entries(connection, [entry])


def _build_audit_record(action: AuditAction, found: Any, to: Status, asked: ChangeRequest) -> audit.AuditRecord:
    return audit.AuditRecord(
        action=action,
        object_kind=ObjectKind.NOTIFICATION,
        object_id=found.id,
        service_id=found.service_id,
        address=found.address_key,
        before={"status": found.status},
        after={"status": to} | ({"comment": asked.comment} if asked.comment else {}),
    )


def _build_status_change(
    id_: UUID, to: Status, asked: ChangeRequest, *, reason: Reason | None = None, detail: str | None = None
) -> StatusChange:
    return StatusChange(notification_id=id_, to=to, at=asked.at, reason=reason, detail=detail)


def _build_requested_change(
    kind: EventKind, asked: ChangeRequest, only_from: frozenset[Status], detail: str, expires_at: datetime | None = None
) -> RequestedChange:
    return RequestedChange(
        kind=kind,
        actor=asked.actor,
        cause=asked.cause,
        only_from=only_from,
        detail=detail,
        expires_at=expires_at,
    )
