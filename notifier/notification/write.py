"""Writing accepted notifications with their outbox entries: the writer that `outbox.intake` is given.

Equal idempotency keys meet here, in the partial unique index: the first row wins, the others are answered from it.
A batch is one statement on PostgreSQL, and a handful in one hop to the writer's thread on SQLite.
"""

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db import rows
from notifier.db.direct import Connection
from notifier.errors import IdempotencyInProgressError, IdempotencyKeyReusedError
from notifier.notification import octets, write_sql
from notifier.notification.attachment import CheckedAttachment
from notifier.outbox.intake import LOCK_TIMEOUT_MS, Size, Writer
from notifier.states import Status

Key = tuple[UUID, str]
"""Service and idempotency key."""


@dataclass(frozen=True, kw_only=True)
class Idempotency:
    """The caller's key and what the request looked like."""

    key: str
    request_hash: bytes  # SHA-256 of the canonical JSON, without what counts as not set


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A checked notification, ready to be written: `suppressed` if nobody may mail the address, else `queued`."""

    row: dict[str, Any]  # of the notification table, less the status and its reason
    content: dict[str, Any]  # of the table of contents: once, for the notification and its copies
    entry_id: UUID
    files: Sequence[CheckedAttachment] = ()  # whose octets are written with it
    key_lasts: timedelta = timedelta(days=7)  # for how long an idempotency key stands for its notification
    copies: Sequence[dict[str, Any]] = ()  # rows, with an `entry_id` each; written with it, or not at all

    @property
    def key(self) -> Key | None:
        """Service and idempotency key, if one was given."""
        key = self.row["idempotency_key"]
        return (self.row["service_id"], key) if key is not None else None

    @property
    def mails(self) -> int:
        """How many mails it is: its own and one for each copy."""
        return 1 + len(self.copies)

    @cached_property
    def records_for_postgres(self) -> str:
        """The rows, and with them what goes into the other tables, as JSON objects with commas between them."""
        return rows.parameter(self._records(), sqlite=False)[1:-1]

    @cached_property
    def records_for_sqlite(self) -> str:
        """The same in SQLite's form."""
        return rows.parameter(self._records(), sqlite=True)[1:-1]

    def _records(self) -> list[dict[str, Any]]:
        return [self.row | self.content | {"entry_id": self.entry_id}, *self.copies]


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """What the caller is told."""

    id: UUID
    status: Status
    created_at: datetime
    send_at: datetime
    batch_id: UUID | None = None
    replayed: bool = False


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """The notification that has a key already."""

    id: UUID
    status: Status
    created_at: datetime
    send_at: datetime
    request_hash: bytes
    batch_id: UUID | None

    def is_outdated(self, now: datetime, lasts: timedelta) -> bool:
        """True if its key does not count any more."""
        return self.created_at <= now - lasts

    def replayed(self, request_hash: bytes, *, is_own: bool = False) -> "Submitted | IdempotencyKeyReusedError":
        """What a request with the same key is told, by whether it is the same request.

        `is_own`: this very request has written it, in a commit whose reply was lost.
        """
        if self.request_hash != request_hash:
            return IdempotencyKeyReusedError()
        return Submitted(
            id=self.id,
            status=self.status,
            created_at=self.created_at,
            send_at=self.send_at,
            batch_id=self.batch_id,
            replayed=not is_own,
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
    key, id_, status, created_at, send_at, request_hash, batch_id = row
    if isinstance(id_, str):  # SQLite knows only texts and numbers
        id_, batch_id = UUID(id_), UUID(batch_id) if batch_id else None
        created_at, send_at = (datetime.fromisoformat(time).replace(tzinfo=UTC) for time in (created_at, send_at))
    return (service_id, key), Earlier(
        id=id_,
        status=Status(status),
        created_at=created_at,
        send_at=send_at,
        request_hash=request_hash,
        batch_id=batch_id,
    )


async def write_within(connection: AsyncConnection, draft: Draft) -> Submitted:
    """Write one that has no idempotency key in a transaction of somebody else's, who commits and wakes the sender."""
    if connection.dialect.name == "sqlite":
        driver: Any = (await connection.get_raw_connection()).driver_connection
        (result,) = await driver._execute(_on_sqlite, driver._conn, [draft])  # noqa: SLF001 - as the engine does
    else:
        (result,) = await _on_postgres(connection, [draft], LOCK_TIMEOUT_MS)
    if not isinstance(result, Submitted):
        raise result
    return result


async def _on_postgres(connection: Connection, drafts: Sequence[Draft], lock_ms: int) -> list[Submitted | Refused]:
    written = await _write_on_postgres(connection, drafts, lock_ms)
    if there := [draft.row["id"] for draft in drafts if draft.key is None and draft.row["id"] not in written]:
        found = await connection.execute(write_sql.THERE_POSTGRES, {"ids": there})
        written |= {row.id: Status(row.status) for row in found}
    if not (lost := _lost(drafts, written)):
        return [_result(draft, written, {}) for draft in drafts]
    # A row that another transaction committed meanwhile is not in the snapshot of the statement that met it.
    earlier: dict[Key, Earlier] = {}
    for service, keys in _by_service(lost).items():
        earlier |= await find_earlier(connection, service, keys)
    if outdated := _outdated(lost, earlier):
        ids = [earlier[draft.key].id for draft in outdated if draft.key]
        await connection.execute(write_sql.FORGET_POSTGRES, {"ids": ids})
        written |= await _write_on_postgres(connection, outdated, lock_ms)
        earlier = _renewed(earlier, outdated, written)
    return [_result(draft, written, earlier) for draft in drafts]


async def _write_on_postgres(connection: Connection, drafts: Sequence[Draft], lock_ms: int) -> dict[UUID, Status]:
    # Sorted, because concurrent writers that take unique keys in different orders deadlock.
    ordered = sorted(drafts, key=lambda draft: (draft.row["service_id"].hex, draft.row["idempotency_key"] or ""))
    batch = f"[{','.join([draft.records_for_postgres for draft in ordered])}]"
    statement, values = write_sql.POSTGRES, {"batch": batch, "lock_ms": str(lock_ms)}
    if any(draft.files for draft in ordered):
        carried = [(draft.row["id"], file) for draft in ordered for file in draft.files]
        statement, values = write_sql.POSTGRES_WITH_FILES, values | await octets.unknown(connection, carried)
    return {row.id: Status(row.status) for row in await connection.execute(statement, values)}


def _on_sqlite(connection: sqlite3.Connection, drafts: Sequence[Draft]) -> list[Submitted | Refused]:
    written = _write_on_sqlite(connection, drafts)
    if not (lost := _lost(drafts, written)):
        return [_result(draft, written, {}) for draft in drafts]
    earlier = dict(
        _earlier(service, row)
        for service, keys in _by_service(lost).items()
        for row in connection.execute(
            write_sql.EARLIER_SQLITE, {"service": service.hex, "keys": json.dumps(list(keys))}
        )
    )
    if outdated := _outdated(lost, earlier):
        ids = json.dumps([earlier[draft.key].id.hex for draft in outdated if draft.key])
        connection.execute(write_sql.FORGET_SQLITE, {"ids": ids})
        written |= _write_on_sqlite(connection, outdated)
        earlier = _renewed(earlier, outdated, written)
    return [_result(draft, written, earlier) for draft in drafts]


def _write_on_sqlite(connection: sqlite3.Connection, drafts: Sequence[Draft]) -> dict[UUID, Status]:
    batch = f"[{','.join([draft.records_for_sqlite for draft in drafts])}]"
    none = bytes(write_sql.HASH_BYTES)  # of a copy, and of what has no key
    hashes = b"".join((draft.row["request_hash"] or none) + none * len(draft.copies) for draft in drafts)
    for statement in write_sql.SQLITE:
        connection.execute(statement, {"batch": batch, "hashes": hashes})
    ((found,),) = connection.execute(write_sql.WRITTEN_SQLITE, {"batch": batch})
    written = {UUID(id_): Status(status) for id_, status in msgspec.json.decode(found)}
    for draft in drafts:
        if draft.files and draft.row["id"] in written:
            octets.keep_on_sqlite(connection, draft.files, draft.row["created_at"])
    return written


def _size_on_postgres(draft: Draft) -> Size:
    return _size(draft, draft.records_for_postgres)


def _size_on_sqlite(draft: Draft) -> Size:
    return _size(draft, draft.records_for_sqlite)


def _size(draft: Draft, records: str) -> Size:
    """One row for each mail, and all the bytes that are handed to the database."""
    files = sum([len(file.data) for file in draft.files]) if draft.files else 0
    return Size(draft.mails, len(records) + files)


WRITER = Writer(
    on_postgres=_on_postgres,
    on_sqlite=_on_sqlite,
    size_on_postgres=_size_on_postgres,
    size_on_sqlite=_size_on_sqlite,
)


def _lost(drafts: Sequence[Draft], written: Collection[UUID]) -> list[Draft]:
    """Those whose key another row has."""
    return [draft for draft in drafts if draft.key and draft.row["id"] not in written]


def _outdated(lost: Sequence[Draft], earlier: dict[Key, Earlier]) -> list[Draft]:
    """Those whose key is that of a row so old that it does not count any more; of several with one key the first."""
    found: dict[Key, Draft] = {}
    for draft in lost:
        before = earlier.get(draft.key) if draft.key else None
        if draft.key and before and before.is_outdated(draft.row["created_at"], draft.key_lasts):
            found.setdefault(draft.key, draft)
    return list(found.values())


def _renewed(earlier: dict[Key, Earlier], outdated: Sequence[Draft], written: dict[UUID, Status]) -> dict[Key, Earlier]:
    """What the others with such a key are answered from: the new row; nothing, if somebody else was faster."""
    known = dict(earlier)
    for draft in outdated:
        if draft.key:
            del known[draft.key]
            if status := written.get(draft.row["id"]):
                names = ("id", "created_at", "send_at", "request_hash", "batch_id")
                known[draft.key] = Earlier(status=status, **{name: draft.row[name] for name in names})
    return known


def _by_service(drafts: Sequence[Draft]) -> dict[UUID, set[str]]:
    found: dict[UUID, set[str]] = {}
    for draft in drafts:
        if draft.key:
            service, key = draft.key
            found.setdefault(service, set()).add(key)
    return found


def _result(draft: Draft, written: dict[UUID, Status], earlier: dict[Key, Earlier]) -> Submitted | Refused:
    row = draft.row
    if status := written.get(row["id"]):
        names = ("id", "created_at", "send_at", "batch_id")
        return Submitted(status=status, **{name: row[name] for name in names})
    if draft.key is None or draft.key not in earlier:
        return IdempotencyInProgressError()
    known = earlier[draft.key]
    return known.replayed(row["request_hash"], is_own=known.id == row["id"])
