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

from notifier.db import row_parameter
from notifier.db.direct_connections import StatementConnection
from notifier.db.shared_commit import LOCK_TIMEOUT_MS, CommitSize, CommitWriter
from notifier.errors import IdempotencyInProgressError, IdempotencyKeyReusedError
from notifier.states import Status
from notifier.submission import attachment_store, notification_writer_sql
from notifier.submission.attachment_validation import CheckedAttachment

ServiceKey = tuple[UUID, str]
"""Service and idempotency key."""


@dataclass(frozen=True, kw_only=True)
class Idempotency:
    """The caller's key and what the request looked like."""

    key: str
    request_hash: bytes  # SHA-256 of the canonical JSON, without what counts as not set


@dataclass(frozen=True, kw_only=True)
class NewNotification:
    """A checked notification, ready to be written: `suppressed` if nobody may mail the address, else `queued`."""

    row: dict[str, Any]  # of the notification table, less the status and its reason
    content: dict[str, Any]  # of the table of contents: once, for the notification and its copies
    entry_id: UUID
    files: Sequence[CheckedAttachment] = ()  # whose octets are written with it
    key_lifetime: timedelta = timedelta(days=7)  # for how long an idempotency key stands for its notification
    copies: Sequence[dict[str, Any]] = ()  # rows, with an `entry_id` each; written with it, or not at all

    @property
    def key(self) -> ServiceKey | None:
        """Service and idempotency key, if one was given."""
        key = self.row["idempotency_key"]
        return (self.row["service_id"], key) if key is not None else None

    @property
    def mail_count(self) -> int:
        """How many mails it is: its own and one for each copy."""
        return 1 + len(self.copies)

    @cached_property
    def records_for_postgres(self) -> str:
        """The rows, and with them what goes into the other tables, as JSON objects with commas between them."""
        return row_parameter.encode_rows(self._records(), sqlite=False)[1:-1]

    @cached_property
    def records_for_sqlite(self) -> str:
        """The same in SQLite's form."""
        return row_parameter.encode_rows(self._records(), sqlite=True)[1:-1]

    def _records(self) -> list[dict[str, Any]]:
        return [self.row | self.content | {"entry_id": self.entry_id}, *self.copies]


@dataclass(frozen=True, kw_only=True)
class SubmissionResult:
    """What the caller is told."""

    id: UUID
    status: Status
    created_at: datetime
    send_at: datetime
    batch_id: UUID | None = None
    replayed: bool = False


@dataclass(frozen=True, kw_only=True)
class EarlierNotification:
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

    def replayed(self, request_hash: bytes, *, is_own: bool = False) -> "SubmissionResult | IdempotencyKeyReusedError":
        """What a request with the same key is told, by whether it is the same request.

        `is_own`: this very request has written it, in a commit whose reply was lost.
        """
        if self.request_hash != request_hash:
            return IdempotencyKeyReusedError()
        return SubmissionResult(
            id=self.id,
            status=self.status,
            created_at=self.created_at,
            send_at=self.send_at,
            batch_id=self.batch_id,
            replayed=not is_own,
        )


IdempotencyError = IdempotencyKeyReusedError | IdempotencyInProgressError
"""Why one draft of a batch was not written; a value, so that its neighbours are."""


async def find_earlier_notifications(
    connection: StatementConnection, service_id: UUID, keys: Collection[str]
) -> dict[ServiceKey, EarlierNotification]:
    """The service's notifications that have these keys."""
    if connection.dialect.name == "sqlite":
        values = {"service": service_id.hex, "keys": json.dumps(list(keys))}
        found = await connection.execute(text(notification_writer_sql.EARLIER_SQLITE), values)
    else:
        found = await connection.execute(
            notification_writer_sql.EARLIER_POSTGRES, {"service": service_id, "keys": list(keys)}
        )
    return dict(_parse_earlier(service_id, row) for row in found)


def _parse_earlier(service_id: UUID, row: Sequence[Any]) -> tuple[ServiceKey, EarlierNotification]:
    key, id_, status, created_at, send_at, request_hash, batch_id = row
    if isinstance(id_, str):  # SQLite knows only texts and numbers
        id_, batch_id = UUID(id_), UUID(batch_id) if batch_id else None
        created_at, send_at = (datetime.fromisoformat(time).replace(tzinfo=UTC) for time in (created_at, send_at))
    return (service_id, key), EarlierNotification(
        id=id_,
        status=Status(status),
        created_at=created_at,
        send_at=send_at,
        request_hash=request_hash,
        batch_id=batch_id,
    )


async def write_in_transaction(connection: AsyncConnection, draft: NewNotification) -> SubmissionResult:
    """Write one that has no idempotency key in a transaction of somebody else's, who commits and wakes the sender."""
    if connection.dialect.name == "sqlite":
        driver: Any = (await connection.get_raw_connection()).driver_connection
        (result,) = await driver._execute(_write_batch_sqlite, driver._conn, [draft])  # noqa: SLF001 - as the engine does
    else:
        (result,) = await _write_batch_postgres(connection, [draft], LOCK_TIMEOUT_MS)
    if not isinstance(result, SubmissionResult):
        raise result
    return result


async def _write_batch_postgres(
    connection: StatementConnection, drafts: Sequence[NewNotification], lock_ms: int
) -> list[SubmissionResult | IdempotencyError]:
    written = await _insert_postgres(connection, drafts, lock_ms)
    if there := [draft.row["id"] for draft in drafts if draft.key is None and draft.row["id"] not in written]:
        found = await connection.execute(notification_writer_sql.WRITTEN_POSTGRES, {"ids": there})
        written |= {row.id: Status(row.status) for row in found}
    if not (lost := _select_lost(drafts, written)):
        return [_build_result(draft, written, {}) for draft in drafts]
    # A row that another transaction committed meanwhile is not in the snapshot of the statement that met it.
    earlier: dict[ServiceKey, EarlierNotification] = {}
    for service, keys in _group_keys_by_service(lost).items():
        earlier |= await find_earlier_notifications(connection, service, keys)
    if outdated := _select_outdated(lost, earlier):
        ids = [earlier[draft.key].id for draft in outdated if draft.key]
        await connection.execute(notification_writer_sql.RELEASE_KEYS_POSTGRES, {"ids": ids})
        written |= await _insert_postgres(connection, outdated, lock_ms)
        earlier = _renew_earlier(earlier, outdated, written)
    return [_build_result(draft, written, earlier) for draft in drafts]


async def _insert_postgres(
    connection: StatementConnection, drafts: Sequence[NewNotification], lock_ms: int
) -> dict[UUID, Status]:
    # Sorted, because concurrent writers that take unique keys in different orders deadlock.
    ordered = sorted(drafts, key=lambda draft: (draft.row["service_id"].hex, draft.row["idempotency_key"] or ""))
    batch = f"[{','.join([draft.records_for_postgres for draft in ordered])}]"
    statement, values = notification_writer_sql.POSTGRES, {"batch": batch, "lock_ms": str(lock_ms)}
    if any(draft.files for draft in ordered):
        carried = [(draft.row["id"], file) for draft in ordered for file in draft.files]
        statement, values = (
            notification_writer_sql.POSTGRES_WITH_FILES,
            values | await attachment_store.find_missing_files(connection, carried),
        )
    return {row.id: Status(row.status) for row in await connection.execute(statement, values)}


def _write_batch_sqlite(
    connection: sqlite3.Connection, drafts: Sequence[NewNotification]
) -> list[SubmissionResult | IdempotencyError]:
    written = _insert_sqlite(connection, drafts)
    if not (lost := _select_lost(drafts, written)):
        return [_build_result(draft, written, {}) for draft in drafts]
    earlier = dict(
        _parse_earlier(service, row)
        for service, keys in _group_keys_by_service(lost).items()
        for row in connection.execute(
            notification_writer_sql.EARLIER_SQLITE, {"service": service.hex, "keys": json.dumps(list(keys))}
        )
    )
    if outdated := _select_outdated(lost, earlier):
        ids = json.dumps([earlier[draft.key].id.hex for draft in outdated if draft.key])
        connection.execute(notification_writer_sql.RELEASE_KEYS_SQLITE, {"ids": ids})
        written |= _insert_sqlite(connection, outdated)
        earlier = _renew_earlier(earlier, outdated, written)
    return [_build_result(draft, written, earlier) for draft in drafts]


def _insert_sqlite(connection: sqlite3.Connection, drafts: Sequence[NewNotification]) -> dict[UUID, Status]:
    batch = f"[{','.join([draft.records_for_sqlite for draft in drafts])}]"
    none = bytes(notification_writer_sql.HASH_BYTES)  # of a copy, and of what has no key
    hashes = b"".join((draft.row["request_hash"] or none) + none * len(draft.copies) for draft in drafts)
    for statement in notification_writer_sql.SQLITE:
        connection.execute(statement, {"batch": batch, "hashes": hashes})
    ((found,),) = connection.execute(notification_writer_sql.WRITTEN_SQLITE, {"batch": batch})
    written = {UUID(id_): Status(status) for id_, status in msgspec.json.decode(found)}
    for draft in drafts:
        if draft.files and draft.row["id"] in written:
            attachment_store.store_files_sqlite(connection, draft.files, draft.row["created_at"])
    return written


def _measure_postgres(draft: NewNotification) -> CommitSize:
    return _measure(draft, draft.records_for_postgres)


def _measure_sqlite(draft: NewNotification) -> CommitSize:
    return _measure(draft, draft.records_for_sqlite)


def _measure(draft: NewNotification, records: str) -> CommitSize:
    """One row for each mail, and all the bytes that are handed to the database."""
    files = sum([len(file.data) for file in draft.files]) if draft.files else 0
    return CommitSize(draft.mail_count, len(records) + files)


WRITER = CommitWriter(
    on_postgres=_write_batch_postgres,
    on_sqlite=_write_batch_sqlite,
    size_on_postgres=_measure_postgres,
    size_on_sqlite=_measure_sqlite,
)


def _select_lost(drafts: Sequence[NewNotification], written: Collection[UUID]) -> list[NewNotification]:
    """Those whose key another row has."""
    return [draft for draft in drafts if draft.key and draft.row["id"] not in written]


def _select_outdated(
    lost: Sequence[NewNotification], earlier: dict[ServiceKey, EarlierNotification]
) -> list[NewNotification]:
    """Those whose key is that of a row so old that it does not count any more; of several with one key the first."""
    found: dict[ServiceKey, NewNotification] = {}
    for draft in lost:
        before = earlier.get(draft.key) if draft.key else None
        if draft.key and before and before.is_outdated(draft.row["created_at"], draft.key_lifetime):
            found.setdefault(draft.key, draft)
    return list(found.values())


def _renew_earlier(
    earlier: dict[ServiceKey, EarlierNotification], outdated: Sequence[NewNotification], written: dict[UUID, Status]
) -> dict[ServiceKey, EarlierNotification]:
    """What the others with such a key are answered from: the new row; nothing, if somebody else was faster."""
    known = dict(earlier)
    for draft in outdated:
        if draft.key:
            del known[draft.key]
            if status := written.get(draft.row["id"]):
                names = ("id", "created_at", "send_at", "request_hash", "batch_id")
                known[draft.key] = EarlierNotification(status=status, **{name: draft.row[name] for name in names})
    return known


def _group_keys_by_service(drafts: Sequence[NewNotification]) -> dict[UUID, set[str]]:
    found: dict[UUID, set[str]] = {}
    for draft in drafts:
        if draft.key:
            service, key = draft.key
            found.setdefault(service, set()).add(key)
    return found


def _build_result(
    draft: NewNotification, written: dict[UUID, Status], earlier: dict[ServiceKey, EarlierNotification]
) -> SubmissionResult | IdempotencyError:
    row = draft.row
    if status := written.get(row["id"]):
        names = ("id", "created_at", "send_at", "batch_id")
        return SubmissionResult(status=status, **{name: row[name] for name in names})
    if draft.key is None or draft.key not in earlier:
        return IdempotencyInProgressError()
    known = earlier[draft.key]
    return known.replayed(row["request_hash"], is_own=known.id == row["id"])
