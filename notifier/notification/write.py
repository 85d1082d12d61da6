"""Writing accepted notifications with their outbox entries: the writer that `outbox.intake` is given.

Equal idempotency keys meet here, in the partial unique index: the first row wins, the others are answered from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, insert, or_, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Notification, NotificationContent, columns
from notifier.errors import IdempotencyInProgressError, IdempotencyKeyReusedError
from notifier.ids import new_id
from notifier.outbox import store
from notifier.outbox.handler import NewEntry
from notifier.states import WAITING, EntryKind, Priority, Status

_notification = columns(Notification)


@dataclass(frozen=True, kw_only=True)
class Idempotency:
    """The caller's key and what the request looked like."""

    key: str
    request_hash: bytes  # SHA-256 of the canonical JSON as received


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A checked notification, ready to be written."""

    row: dict[str, Any]  # of the notification table
    variables: dict[str, Any]
    headers: dict[str, str]
    due_at: datetime

    @property
    def idempotency(self) -> tuple[UUID, str] | None:
        """Service and key, if a key was given."""
        key = self.row["idempotency_key"]
        return (self.row["service_id"], key) if key is not None else None


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """What the caller is told."""

    id: UUID
    status: Status
    created_at: datetime
    send_at: datetime
    replayed: bool = False


Refused = IdempotencyKeyReusedError | IdempotencyInProgressError
"""Why one draft of a batch was not written; a value, so that its neighbours are."""


async def write(connection: AsyncConnection, drafts: Sequence[Draft]) -> list[Submitted | Refused]:
    """Insert the drafts and their entries; one result per draft, in order. The caller commits."""
    # Sorted, because concurrent writers that take unique keys in different orders deadlock.
    ordered = sorted(drafts, key=lambda draft: (draft.row["service_id"].hex, draft.row["idempotency_key"] or ""))
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(Notification).on_conflict_do_nothing(
        index_elements=["service_id", "idempotency_key"], index_where=text("idempotency_key IS NOT NULL")
    )
    await connection.execute(statement, [draft.row for draft in ordered])
    written = await _written(connection, ordered)
    won = [draft for draft in ordered if draft.row["id"] in written]
    if won:
        contents = [{"notification_id": d.row["id"], "variables": d.variables, "headers": d.headers} for d in won]
        await connection.execute(insert(NotificationContent), contents)
        await store.enqueue(connection, [_entry(draft) for draft in won if draft.row["status"] in WAITING])
    lost = [draft for draft in ordered if draft.row["id"] not in written]
    winners = await _winners(connection, lost) if lost else {}
    return [_result(draft, written, winners) for draft in drafts]


async def find_replay(connection: AsyncConnection, service_id: UUID, idempotency: Idempotency) -> Submitted | None:
    """What an earlier request with this key led to. Raises `IdempotencyKeyReusedError` if it was a different one."""
    statement = select(
        _notification.id,
        _notification.status,
        _notification.created_at,
        _notification.send_at,
        _notification.request_hash,
    ).where(_notification.service_id == service_id, _notification.idempotency_key == idempotency.key)
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        return None
    return _replay(row, idempotency.request_hash)


def _replay(row: Any, request_hash: bytes) -> Submitted:
    if bytes(row.request_hash) != request_hash:
        raise IdempotencyKeyReusedError
    return Submitted(id=row.id, status=row.status, created_at=row.created_at, send_at=row.send_at, replayed=True)


async def _written(connection: AsyncConnection, drafts: Sequence[Draft]) -> set[UUID]:
    """The ids that are in the table now; asking RETURNING instead would build a new statement for each batch size."""
    ids = {draft.row["id"] for draft in drafts}
    if not any(draft.idempotency for draft in drafts):
        return ids
    return set((await connection.execute(select(_notification.id).where(_notification.id.in_(ids)))).scalars())


async def _winners(connection: AsyncConnection, lost: Sequence[Draft]) -> dict[tuple[UUID, str], Any]:
    """The rows that hold the keys which these drafts wanted."""
    wanted = {draft.idempotency for draft in lost if draft.idempotency}
    statement = select(
        _notification.id,
        _notification.status,
        _notification.created_at,
        _notification.send_at,
        _notification.request_hash,
        _notification.service_id,
        _notification.idempotency_key,
    ).where(
        or_(
            *(
                and_(_notification.service_id == service, _notification.idempotency_key == key)
                for service, key in wanted
            )
        )
    )
    return {(row.service_id, row.idempotency_key): row for row in await connection.execute(statement)}


def _result(draft: Draft, written: set[UUID], winners: dict[tuple[UUID, str], Any]) -> Submitted | Refused:
    row = draft.row
    if row["id"] in written:
        return Submitted(id=row["id"], status=row["status"], created_at=row["created_at"], send_at=row["send_at"])
    if draft.idempotency is None or draft.idempotency not in winners:
        return IdempotencyInProgressError()
    try:
        return _replay(winners[draft.idempotency], row["request_hash"])
    except IdempotencyKeyReusedError as error:
        return error


def _entry(draft: Draft) -> NewEntry:
    return NewEntry(
        id=new_id(),
        kind=EntryKind.EMAIL,
        subject_id=draft.row["id"],
        service_id=draft.row["service_id"],
        priority=Priority(draft.row["priority"]),
        due_at=draft.due_at,
    )
