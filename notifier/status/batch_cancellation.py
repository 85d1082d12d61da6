"""Cancel a batch: once its flag is committed, no body of its mails is permitted.

Its mails get the status `cancelled` in steps of limited size: the first step together with the flag, the others by a
sender, one transaction for each. A step may be repeated.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor
from notifier.clock import Clock
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.db.tables import Batch, Notification, NotificationEvent, get_columns
from notifier.errors import NotFoundError
from notifier.ids import generate_id
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import (
    ClaimedEntry,
    FinishEntry,
    JournalNote,
    LostClaim,
    NewEntry,
    ReleaseEntry,
    Settlement,
    WorkerContext,
)
from notifier.states import CANCELLABLE_STATUSES, EntryKind, EventKind, KeyKind, Priority, Status, TransitionCause
from notifier.status.status_writer import StatusChange, apply_status_changes, build_event_row
from notifier.telemetry.logging import get_logger

CANCELLABLE_SQL = f"""n.status IN ('{"', '".join(sorted(CANCELLABLE_STATUSES))}')"""
"""The notification `n` can still be cancelled."""
# Scalar subqueries, because PostgreSQL may turn an EXISTS into a scan of the whole batch, or of all cancelled batches.
_OF_THE_BATCH = f"(SELECT n.batch_id FROM notification AS n WHERE n.id = e.subject_id AND {CANCELLABLE_SQL}) = :batch"  # noqa: S608
"""The outbox entry `e` is about such a notification of the batch."""
IS_CANCELLED = "((SELECT g.cancelled_at FROM batch AS g WHERE g.id = n.batch_id) IS NOT NULL)"
"""The batch of the notification `n`, if it has one, was cancelled."""
CANCELLATION_LEASE = timedelta(minutes=5)
MAX_CANCEL_ROWS = 250
"""Rows of a batch that one transaction examines."""
_batch, _notification = get_columns(Batch), get_columns(Notification)
_ID = _batch.id.type


@dataclass(frozen=True, kw_only=True)
class CancellationStep:
    """What one transaction of a cancellation did."""

    stopped: int  # mails, including copies
    last: UUID | None  # the last row that was examined; None: there are no more


async def cancel_batch(
    connection: AsyncConnection,
    service_id: UUID,
    id_: UUID,
    *,
    actor: Actor,
    reach: Collection[KeyKind],
    comment: str = "",
) -> CancellationStep:
    """Stop the mails of the batch that have not begun: set its flag, and cancel its first rows.

    A sender cancels the other rows. Call `release_claimed` after the commit. Raises `NotFoundError`, also if some mails
    of the batch are of a kind of key beyond the caller's `reach`.
    """
    await _require_reach(connection, id_, reach)
    step = await stop_batch(connection, service_id, id_, actor=actor, comment=comment)
    record = audit.AuditRecord(
        action=audit.AuditAction.BATCH_CANCELLED,
        object_id=id_,
        service_id=service_id,
        after={"cancelled": step.stopped, "comment": comment} | ({"cancelling": True} if step.last is not None else {}),
    )
    await audit.write_audit_record(connection, record, actor)
    return step


async def stop_batch(
    connection: AsyncConnection, service_id: UUID, id_: UUID, *, actor: Actor, comment: str = ""
) -> CancellationStep:
    """Do the same for an operation that writes an audit record of its own. Raises `NotFoundError`."""
    flag = {
        "cancelled_at": func.coalesce(_batch.cancelled_at, actor.at),
        "cancelled_by": func.coalesce(_batch.cancelled_by, actor.name),
        "cancel_comment": func.coalesce(_batch.cancel_comment, comment),
    }
    flagged = update(Batch).where(_batch.id == id_, _batch.service_id == service_id).values(flag).returning(_batch.id)
    if (await connection.execute(flagged)).first() is None:
        raise NotFoundError("there is no such batch")
    step = await _cancel_rows(connection, service_id, id_, None, actor, comment)
    if step.last is not None and not await entry_store.get_due_times(connection, service_id, [id_]):
        entry = NewEntry(
            id=generate_id(),
            kind=EntryKind.BATCH,
            subject_id=id_,
            service_id=service_id,
            priority=Priority.HIGH,
            due_at=actor.at,
        )
        await entry_store.enqueue_entries(connection, [entry])
    return step


async def _require_reach(connection: AsyncConnection, id_: UUID, kinds: Collection[KeyKind]) -> None:
    """Raise `NotFoundError`, as for a batch that does not exist, unless all its mails are of these kinds of key."""
    if set(kinds) == set(KeyKind):
        return
    beyond = select(_notification.id).where(_notification.batch_id == id_, _notification.kind.not_in(kinds)).limit(1)
    if (await connection.execute(beyond)).first() is not None:
        raise NotFoundError("there is no such batch")


async def release_claimed(connection: AsyncConnection, service_id: UUID, id_: UUID) -> None:
    """Release the mails of a cancelled or paused batch that senders have claimed and not begun.

    Call it after the commit of the flag, because a mark that ran at the same time did not see the flag.
    """
    await entry_store.release_leases(connection, EntryKind.EMAIL, service_id, _OF_THE_BATCH, {"batch": id_})


async def continue_cancellation(
    connection: AsyncConnection, service_id: UUID, id_: UUID, after: UUID | None, now: datetime
) -> UUID | None:
    """Cancel the next rows of a flagged batch, after the id `after`; return the last id, or None at the end."""
    statement = select(_batch.cancelled_by, _batch.cancel_comment)
    statement = statement.where(_batch.id == id_, _batch.service_id == service_id, _batch.cancelled_at.is_not(None))
    flag = (await connection.execute(statement)).one_or_none()
    if flag is None:
        return None
    actor = Actor(name=flag.cancelled_by or "", at=now)
    return (await _cancel_rows(connection, service_id, id_, after, actor, flag.cancel_comment or "")).last


async def _cancel_rows(
    connection: AsyncConnection, service_id: UUID, id_: UUID, after: UUID | None, actor: Actor, comment: str
) -> CancellationStep:
    ids = await _list_row_ids(connection, id_, after)
    waiting = await _select_cancellable(connection, ids)
    await entry_store.lock_entries(connection, service_id, waiting)
    # Selected again, because a sender that was settling one of them has written its status by now.
    waiting = await _select_cancellable(connection, waiting)
    stopped = await entry_store.withdraw_entries(connection, service_id, waiting) if waiting else []
    if stopped:
        changes = [StatusChange(notification_id=stopped_id, to=Status.CANCELLED, at=actor.at) for stopped_id in stopped]
        await apply_status_changes(connection, changes, TransitionCause.CALLER)
        events = [
            build_event_row(stopped_id, EventKind.CANCELLED, actor.name, actor.at, comment) for stopped_id in stopped
        ]
        await connection.execute(insert(NotificationEvent), events)
    return CancellationStep(stopped=len(stopped), last=ids[-1] if len(ids) == MAX_CANCEL_ROWS else None)


async def _list_row_ids(connection: AsyncConnection, id_: UUID, after: UUID | None) -> Sequence[UUID]:
    statement = select(_notification.id).where(_notification.batch_id == id_)
    if after is not None:
        statement = statement.where(_notification.id > after)
    return (await connection.execute(statement.order_by(_notification.id).limit(MAX_CANCEL_ROWS))).scalars().all()


_CANCELLABLE = select(_notification.id).where(
    _notification.id.in_(bindparam("ids", expanding=True, type_=_ID)), _notification.status.in_(CANCELLABLE_STATUSES)
)


async def _select_cancellable(connection: AsyncConnection, ids: Sequence[UUID]) -> list[UUID]:
    return list((await connection.execute(_CANCELLABLE, {"ids": list(ids)})).scalars()) if ids else []


class BatchCancellationHandler:
    """The handler of batch entries."""

    kind = EntryKind.BATCH
    slots = 1
    bodies = 1
    lease = CANCELLATION_LEASE
    still_wanted = "1 = 1"

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._closing = False
        self._log = get_logger()

    def get_capacity(self) -> int:
        """One batch at a time."""
        return self.slots

    async def process(self, batch: Sequence[ClaimedEntry], worker: WorkerContext) -> None:
        """Cancel all rows of each batch."""
        for entry in batch:
            is_done = await self._cancel_all_rows(entry)
            worker.settle(Settlement(entry=entry, action=FinishEntry() if is_done else ReleaseEntry()))

    async def record(self, _connection: StatementConnection, _settled: Sequence[Settlement]) -> None:
        """Record nothing: each step has written what it did."""

    async def recover_lost(self, _connection: StatementConnection, lost: Sequence[LostClaim]) -> list[Settlement]:
        """Give up an entry that has killed its senders: each mail of the batch is cancelled when it is due."""
        for loss in lost:
            self._log.error("batch_stop_given_up", entry_id=str(loss.entry.id))
        return [Settlement(entry=loss.entry, action=FinishEntry()) for loss in lost]

    async def replay(
        self, _connection: StatementConnection, _notes: Sequence[tuple[ClaimedEntry, JournalNote]]
    ) -> list[Settlement]:
        """Replay nothing: these entries write no journal."""
        return []

    def close(self) -> None:
        """Stop after the current step, and release the rest."""
        self._closing = True

    async def _cancel_all_rows(self, entry: ClaimedEntry) -> bool:
        """Cancel all rows; False if the handler was closed before the end."""
        last = None
        while not self._closing:
            now = self._clock.now()
            async with self._database.write() as connection:
                last = await continue_cancellation(connection, entry.service_id, entry.subject_id, last, now)
            if last is None:
                return True
        return False
