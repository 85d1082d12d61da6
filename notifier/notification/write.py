"""Writing accepted notifications with their outbox entries: the writer that `outbox.intake` is given.

Equal idempotency keys meet here, in the partial unique index: the first row wins, the others are answered from it.
A batch is one statement on PostgreSQL, and a handful in one hop to the writer's thread on SQLite.
"""

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text

from notifier import address
from notifier.db import rows
from notifier.db.direct import Connection
from notifier.errors import IdempotencyInProgressError, IdempotencyKeyReusedError
from notifier.notification import write_sql
from notifier.outbox.intake import Writer
from notifier.states import Status

Key = tuple[UUID, str]
"""Service and idempotency key."""


@dataclass(frozen=True, kw_only=True)
class Idempotency:
    """The caller's key and what the request looked like."""

    key: str
    request_hash: bytes  # SHA-256 of the canonical JSON as received


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A checked notification, ready to be written: `suppressed` if nobody may mail the address, else `queued`."""

    row: dict[str, Any]  # of the notification table, less the status and its reason
    variables: dict[str, Any]
    headers: dict[str, str]
    entry_id: UUID

    @property
    def key(self) -> Key | None:
        """Service and idempotency key, if one was given."""
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


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """The notification that has a key already."""

    id: UUID
    status: Status
    created_at: datetime
    send_at: datetime
    request_hash: bytes

    def replayed(self, request_hash: bytes) -> "Submitted | IdempotencyKeyReusedError":
        """What a request with the same key is told, by whether it is the same request."""
        if self.request_hash != request_hash:
            return IdempotencyKeyReusedError()
        return Submitted(
            id=self.id, status=self.status, created_at=self.created_at, send_at=self.send_at, replayed=True
        )


Refused = IdempotencyKeyReusedError | IdempotencyInProgressError
"""Why one draft of a batch was not written; a value, so that its neighbours are."""


async def find_earlier(connection: Connection, service_id: UUID, keys: Collection[str]) -> dict[Key, Earlier]:
    """The service's notifications that have these keys."""
    if connection.dialect.name == "sqlite":
        values = {"service": service_id.hex, "keys": json.dumps(list(keys))}
        found = await connection.execute(text(write_sql.EARLIER_SQLITE), values)
    else:
        found = await connection.execute(write_sql.EARLIER_POSTGRES, {"service": service_id, "keys": list(keys)})
    return dict(_earlier(service_id, row) for row in found)


def _earlier(service_id: UUID, row: Sequence[Any]) -> tuple[Key, Earlier]:
    key, id_, status, created_at, send_at, request_hash = row
    if isinstance(id_, str):  # SQLite knows only texts and numbers
        id_ = UUID(id_)
        created_at, send_at = (datetime.fromisoformat(time).replace(tzinfo=UTC) for time in (created_at, send_at))
    return (service_id, key), Earlier(
        id=id_, status=Status(status), created_at=created_at, send_at=send_at, request_hash=request_hash
    )


async def _on_postgres(connection: Connection, drafts: Sequence[Draft], lock_ms: int) -> list[Submitted | Refused]:
    # Sorted, because concurrent writers that take unique keys in different orders deadlock.
    ordered = sorted(drafts, key=lambda draft: (draft.row["service_id"].hex, draft.row["idempotency_key"] or ""))
    batch = rows.parameter([_record(draft) for draft in ordered], sqlite=False)
    found = await connection.execute(write_sql.POSTGRES, {"batch": batch, "lock_ms": str(lock_ms)})
    written = {row.id: Status(row.status) for row in found}
    lost = {draft.key for draft in drafts if draft.key and draft.row["id"] not in written}
    # A row that another transaction committed meanwhile is not in the snapshot of the statement that met it.
    earlier: dict[Key, Earlier] = {}
    for service, keys in _by_service(lost).items():
        earlier |= await find_earlier(connection, service, keys)
    return [_result(draft, written, earlier) for draft in drafts]


def _on_sqlite(connection: sqlite3.Connection, drafts: Sequence[Draft]) -> list[Submitted | Refused]:
    batch = rows.parameter([_record(draft) for draft in drafts], sqlite=True)
    hashes = b"".join(draft.row["request_hash"] or bytes(write_sql.HASH_BYTES) for draft in drafts)
    for statement in write_sql.SQLITE:
        connection.execute(statement, {"batch": batch, "hashes": hashes})
    ((found,),) = connection.execute(write_sql.WRITTEN_SQLITE, {"batch": batch})
    written = {UUID(id_): Status(status) for id_, status in msgspec.json.decode(found)}
    lost = {draft.key for draft in drafts if draft.key and draft.row["id"] not in written}
    earlier = dict(
        _earlier(service, row)
        for service, keys in _by_service(lost).items()
        for row in connection.execute(
            write_sql.EARLIER_SQLITE, {"service": service.hex, "keys": json.dumps(list(keys))}
        )
    )
    return [_result(draft, written, earlier) for draft in drafts]


WRITER = Writer(on_postgres=_on_postgres, on_sqlite=_on_sqlite)


def _record(draft: Draft) -> dict[str, Any]:
    """The row, and with it what goes into the other tables; both databases take a batch as one JSON array."""
    return draft.row | {
        "variables": draft.variables,
        "headers": draft.headers,
        "entry_id": draft.entry_id,
        "address_key": address.key(draft.row["recipient"]),
    }


def _by_service(keys: Collection[Key]) -> dict[UUID, set[str]]:
    found: dict[UUID, set[str]] = {}
    for service, key in keys:
        found.setdefault(service, set()).add(key)
    return found


def _result(draft: Draft, written: dict[UUID, Status], earlier: dict[Key, Earlier]) -> Submitted | Refused:
    row = draft.row
    if status := written.get(row["id"]):
        return Submitted(id=row["id"], status=status, created_at=row["created_at"], send_at=row["send_at"])
    if draft.key is None or draft.key not in earlier:
        return IdempotencyInProgressError()
    return earlier[draft.key].replayed(row["request_hash"])
