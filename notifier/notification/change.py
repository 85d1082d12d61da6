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
from notifier.audit import Action, ObjectKind
from notifier.db.tables import Batch, Event, Notification, StatusIndex, columns
from notifier.errors import NotFoundError, NotifierError
from notifier.ids import new_id
from notifier.notification.move import Deed, Move, intervene
from notifier.notification.rights import MailRights
from notifier.outbox import store
from notifier.outbox.handler import NewEntry
from notifier.states import CANCELLABLE, Cause, EntryKind, EventKind, Priority, Reason, Resolution, Status

_notification, _event, _batch = columns(Notification), columns(Event), columns(Batch)
LONGEST_COMMENT = 900
MAX_FOUND = 200
"""Notifications that are retried in one transaction."""
_RETRYABLE = frozenset({Status.FAILED, Status.EXPIRED})
_CANCELLED_WITH_IT = "its batch was cancelled, so it cannot be sent again: submit it anew"
_RESOLVABLE = frozenset({Status.UNKNOWN})
_TO = {Resolution.SENT: Status.SENT, Resolution.FAILED: Status.FAILED, Resolution.RESEND: Status.QUEUED}


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
class Asked:
    """Who wants the change, when, and what they say about it."""

    actor: str
    cause: Cause  # CALLER or PERSON
    rights: MailRights | None  # which notifications they may change; None: an operator, who may change all
    at: datetime
    comment: str = ""  # at most `LONGEST_COMMENT` characters

    def require_sendable(self, rows: Iterable[Any]) -> None:
        """Raise `InvalidRequestError` unless these mails, which could leave now, may be sent by who wants it."""
        if self.rights is not None:
            self.rights.require_sendable(rows)


async def cancel(connection: AsyncConnection, id_: UUID, asked: Asked) -> list[audit.Deed]:
    """See that the mail is never sent, nor its copies; nothing happens to what is cancelled already. What was done.

    Raises `NotFoundError`, and, if nothing of it could be stopped, `AlreadyUnderWayError` if a body may have begun or
    `AlreadyEndedError`.
    """
    copies = await _copies(connection, id_)
    if not copies:
        return await _cancel(connection, id_, asked)
    done: list[audit.Deed] = []
    refused: list[NotPossibleError] = []
    for one in (id_, *copies):
        try:
            async with connection.begin_nested():  # what cannot be stopped gets its entry back
                done += await _cancel(connection, one, asked)
        except NotPossibleError as error:
            refused.append(error)
    if len(refused) == 1 + len(copies):
        raise refused[0]
    return done


async def _cancel(connection: AsyncConnection, id_: UUID, asked: Asked) -> list[audit.Deed]:
    found = await _look(connection, id_, asked)
    if found.status in CANCELLABLE:
        await _withdraw(connection, found)
        deed = _deed(EventKind.CANCELLED, asked, CANCELLABLE, asked.comment)
        if await intervene(connection, _step(id_, Status.CANCELLED, asked), deed):
            return [_told(Action.NOTIFICATION_CANCELLED, found, Status.CANCELLED, asked)]
        found = await _look(connection, id_, asked)  # somebody was faster
    if found.status is Status.UNKNOWN:
        raise AlreadyUnderWayError("a relay may have the mail already: resolve it instead")
    if found.status is not Status.CANCELLED:
        raise AlreadyEndedError(f"it cannot be cancelled any more: it is {found.status}")
    return []


async def retry(connection: AsyncConnection, id_: UUID, asked: Asked) -> list[audit.Deed]:
    """Start a failed or expired notification over: the same bytes, due now, worth sending as long as at first.

    Raises `NotFoundError`, `NotRetryableError`, `BatchCancelledError`, and `InvalidRequestError` if it could not be
    submitted today.
    """
    found = await _look(connection, id_, asked)
    if found.status not in _RETRYABLE:
        raise NotRetryableError(f"only what failed or expired can be retried: it is {found.status}")
    if found.batch_cancelled_at is not None:
        raise BatchCancelledError(_CANCELLED_WITH_IT)
    asked.require_sendable([found])
    await _withdraw(connection, found)
    expires_at = asked.at + await _lifetime(connection, found)
    deed = _deed(EventKind.RETRIED, asked, _RETRYABLE, asked.comment, expires_at)
    if not await intervene(connection, _step(id_, Status.QUEUED, asked), deed):
        raise NotRetryableError("somebody else has just changed it")
    await _enqueue(connection, found, asked)
    return [_told(Action.NOTIFICATION_RETRIED, found, Status.QUEUED, asked)]


async def find_failed(connection: AsyncConnection, reason: Reason, *, after: UUID, until: datetime) -> list[UUID]:
    """Ids of notifications that failed for a reason, behind an id, by their ids; at most `MAX_FOUND`.

    Those that fail again after `until`, the start of the command, are left alone.
    """
    listed = columns(StatusIndex)
    statement = (
        select(_notification.id)
        .join(StatusIndex, listed.notification_id == _notification.id)
        .where(listed.status.in_(_RETRYABLE), _notification.status.in_(_RETRYABLE), _notification.reason == reason)
        .where(_notification.id > after, _notification.updated_at < until)
        .order_by(_notification.id)
        .limit(MAX_FOUND)
    )
    return list((await connection.execute(statement)).scalars())


async def resolve(connection: AsyncConnection, id_: UUID, how: Resolution, asked: Asked) -> list[audit.Deed]:
    """Decide about a mail of which nobody knows whether it was taken; `uncertain_at` stays on it for ever.

    Raises `NotFoundError`, `NotUnknownError`, `AlreadyUnderWayError` if a resend is on its way, `BatchCancelledError`
    if there is to be one, and `InvalidRequestError` if it is to be sent again and could not be submitted today.
    """
    found = await _look(connection, id_, asked)
    if found.status not in _RESOLVABLE:
        raise NotUnknownError(f"only what is unknown can be resolved: it is {found.status}")
    again = how is Resolution.RESEND
    if again and found.batch_cancelled_at is not None:
        raise BatchCancelledError(_CANCELLED_WITH_IT)
    if again:
        asked.require_sendable([found])
    await _withdraw(connection, found)
    expires_at = asked.at + await _lifetime(connection, found) if again and found.expires_at <= asked.at else None
    words = f"as {how}: {asked.comment}" if asked.comment else f"as {how}"
    deed = _deed(EventKind.RESOLVED, asked, _RESOLVABLE, words, expires_at)
    step = _step(id_, _TO[how], asked, reason=None if again else Reason.RESOLVED, detail=None if again else words)
    if not await intervene(connection, step, deed):
        raise NotUnknownError("somebody else has just changed it")
    if again:
        await _enqueue(connection, found, asked)
    return [_told(Action.NOTIFICATION_RESOLVED, found, _TO[how], asked)]


# -- the steps, in order -------------------------------------------------------------------------------------------


async def _look(connection: AsyncConnection, id_: UUID, asked: Asked) -> Any:
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
        statement = statement.where(*asked.rights.are_over())
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise NotFoundError("there is no such notification")
    return row


async def _copies(connection: AsyncConnection, id_: UUID) -> list[UUID]:
    found = select(_notification.id).where(_notification.parent_id == id_).order_by(_notification.id)
    return list((await connection.execute(found)).scalars())


async def _withdraw(connection: AsyncConnection, found: Any) -> None:
    """Take its entry back, leased or not, unless a body is permitted."""
    if not await store.withdraw(connection, found.service_id, found.id):
        raise AlreadyUnderWayError


async def _lifetime(connection: AsyncConnection, found: Any) -> timedelta:
    """How long it was worth sending when it was first, or last, put into the queue."""
    last = select(func.max(_event.at)).where(_event.notification_id == found.id, _event.kind == EventKind.RETRIED)
    retried_at: datetime | None = (await connection.execute(last)).scalar_one()
    lifetime: timedelta = found.expires_at - (retried_at or found.send_at)
    return lifetime


async def _enqueue(connection: AsyncConnection, found: Any, asked: Asked) -> None:
    """A new entry, due now, with nothing burnt: a late word about the old one cannot mean it."""
    entry = NewEntry(
        id=new_id(),
        kind=EntryKind.EMAIL,
        subject_id=found.id,
        service_id=found.service_id,
        priority=Priority(found.priority),
        due_at=asked.at,
    )
    await store.enqueue(connection, [entry])


def _told(action: Action, found: Any, to: Status, asked: Asked) -> audit.Deed:
    return audit.Deed(
        action=action,
        object_kind=ObjectKind.NOTIFICATION,
        object_id=found.id,
        service_id=found.service_id,
        address=found.address_key,
        before={"status": found.status},
        after={"status": to} | ({"comment": asked.comment} if asked.comment else {}),
    )


def _step(id_: UUID, to: Status, asked: Asked, *, reason: Reason | None = None, detail: str | None = None) -> Move:
    return Move(notification_id=id_, to=to, at=asked.at, reason=reason, detail=detail)


def _deed(
    kind: EventKind, asked: Asked, only_from: frozenset[Status], detail: str, expires_at: datetime | None = None
) -> Deed:
    return Deed(
        kind=kind,
        actor=asked.actor,
        cause=asked.cause,
        only_from=only_from,
        detail=detail,
        expires_at=expires_at,
    )
