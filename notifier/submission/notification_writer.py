"""Write new notifications with their outbox entries: the writer that `outbox.intake` calls.

Of requests with the same idempotency key the partial unique index lets the first in; the others are answered from its
row. A batch is one statement on PostgreSQL, and a few statements in the writer's thread on SQLite.
"""

import json
import sqlite3
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.direct_connections import StatementConnection
from notifier.db.shared_commit import LOCK_TIMEOUT_MS, CommitSize, CommitWriter
from notifier.errors import IdempotencyInProgressError
from notifier.states import Status
from notifier.submission import attachment_store
from notifier.submission import notification_writer_sql as sql
from notifier.submission.idempotency import (
    EarlierNotification,
    IdempotencyError,
    ServiceKey,
    SubmissionResult,
    find_earlier_notifications,
    parse_earlier,
)
from notifier.submission.new_notification import NewNotification


async def write_in_transaction(connection: AsyncConnection, new: NewNotification) -> SubmissionResult:
    """Write one without an idempotency key in the caller's transaction; the caller commits and wakes the sender."""
    if connection.dialect.name == "sqlite":
        driver: Any = (await connection.get_raw_connection()).driver_connection
        (result,) = await driver._execute(_write_batch_sqlite, driver._conn, [new])  # noqa: SLF001 - as the engine does
    else:
        (result,) = await _write_batch_postgres(connection, [new], LOCK_TIMEOUT_MS)
    if not isinstance(result, SubmissionResult):
        raise result
    return result


async def _write_batch_postgres(
    connection: StatementConnection, notifications: Sequence[NewNotification], lock_ms: int
) -> list[SubmissionResult | IdempotencyError]:
    written = await _insert_postgres(connection, notifications, lock_ms)
    if unwritten_ids := [new.row.id for new in notifications if new.key is None and new.row.id not in written]:
        rows = await connection.execute(sql.WRITTEN_POSTGRES, {"ids": unwritten_ids})
        written |= {row.id: Status(row.status) for row in rows}
    if not (lost := _select_lost(notifications, written)):
        return [_build_result(new, written, {}) for new in notifications]
    # A new query, because the snapshot of the insert does not have rows that were committed meanwhile.
    earlier: dict[ServiceKey, EarlierNotification] = {}
    for service, keys in _group_keys_by_service(lost).items():
        earlier |= await find_earlier_notifications(connection, service, keys)
    if outdated := _select_outdated(lost, earlier):
        ids = [earlier[new.key].id for new in outdated if new.key]
        await connection.execute(sql.RELEASE_KEYS_POSTGRES, {"ids": ids})
        written |= await _insert_postgres(connection, outdated, lock_ms)
        earlier = _renew_earlier(earlier, outdated, written)
    return [_build_result(new, written, earlier) for new in notifications]


async def _insert_postgres(
    connection: StatementConnection, notifications: Sequence[NewNotification], lock_ms: int
) -> dict[UUID, Status]:
    # Sorted, because concurrent writers that take unique keys in different orders deadlock.
    ordered = sorted(
        notifications,
        key=lambda new: (new.row.service_id.hex, new.row.idempotency_key or ""),
    )
    batch = f"[{','.join([new.records_for_postgres for new in ordered])}]"
    statement, values = sql.POSTGRES, {"batch": batch, "lock_ms": str(lock_ms)}
    if any(new.attachments for new in ordered):
        carried = [(new.row.id, file) for new in ordered for file in new.attachments]
        statement, values = (
            sql.POSTGRES_WITH_FILES,
            values | await attachment_store.find_missing_files(connection, carried),
        )
    return {row.id: Status(row.status) for row in await connection.execute(statement, values)}


def _write_batch_sqlite(
    connection: sqlite3.Connection, notifications: Sequence[NewNotification]
) -> list[SubmissionResult | IdempotencyError]:
    written = _insert_sqlite(connection, notifications)
    if not (lost := _select_lost(notifications, written)):
        return [_build_result(new, written, {}) for new in notifications]
    earlier = dict(
        parse_earlier(service, row)
        for service, keys in _group_keys_by_service(lost).items()
        for row in connection.execute(sql.EARLIER_SQLITE, {"service": service.hex, "keys": json.dumps(list(keys))})
    )
    if outdated := _select_outdated(lost, earlier):
        ids = json.dumps([earlier[new.key].id.hex for new in outdated if new.key])
        connection.execute(sql.RELEASE_KEYS_SQLITE, {"ids": ids})
        written |= _insert_sqlite(connection, outdated)
        earlier = _renew_earlier(earlier, outdated, written)
    return [_build_result(new, written, earlier) for new in notifications]


def _insert_sqlite(connection: sqlite3.Connection, notifications: Sequence[NewNotification]) -> dict[UUID, Status]:
    batch = f"[{','.join([new.records_for_sqlite for new in notifications])}]"
    none = bytes(sql.HASH_BYTES)  # for copies, and for requests without a key
    hashes = b"".join((new.row.request_hash or none) + none * len(new.copies) for new in notifications)
    for statement in sql.SQLITE:
        connection.execute(statement, {"batch": batch, "hashes": hashes})
    ((written_json,),) = connection.execute(sql.WRITTEN_SQLITE, {"batch": batch})
    written = {UUID(id_): Status(status) for id_, status in msgspec.json.decode(written_json)}
    for new in notifications:
        if new.attachments and new.row.id in written:
            attachment_store.store_files_sqlite(connection, new.attachments, new.row.created_at)
    return written


def _measure(new: NewNotification, records: str) -> CommitSize:
    """Count one row for each mail, and all bytes that go to the database."""
    files = sum([len(file.data) for file in new.attachments]) if new.attachments else 0
    return CommitSize(new.mail_count, len(records) + files)


WRITER = CommitWriter(
    on_postgres=_write_batch_postgres,
    on_sqlite=_write_batch_sqlite,
    size_on_postgres=lambda new: _measure(new, new.records_for_postgres),
    size_on_sqlite=lambda new: _measure(new, new.records_for_sqlite),
)


def _select_lost(notifications: Sequence[NewNotification], written: Collection[UUID]) -> list[NewNotification]:
    """Those whose idempotency key another row has."""
    return [new for new in notifications if new.key and new.row.id not in written]


def _select_outdated(
    lost: Sequence[NewNotification], earlier: dict[ServiceKey, EarlierNotification]
) -> list[NewNotification]:
    """Those whose key belongs to a row that is too old to count; of several with one key the first."""
    outdated_by_key: dict[ServiceKey, NewNotification] = {}
    for new in lost:
        existing = earlier.get(new.key) if new.key else None
        if new.key and existing and existing.is_outdated(new.row.created_at, new.key_lifetime):
            outdated_by_key.setdefault(new.key, new)
    return list(outdated_by_key.values())


def _renew_earlier(
    earlier: dict[ServiceKey, EarlierNotification], outdated: Sequence[NewNotification], written: dict[UUID, Status]
) -> dict[ServiceKey, EarlierNotification]:
    """The rows from which others with such a key are answered: the new ones, where they were written."""
    known = dict(earlier)
    for new in outdated:
        if new.key:
            del known[new.key]
            if status := written.get(new.row.id):
                names = ("id", "created_at", "send_at", "request_hash", "batch_id")
                known[new.key] = EarlierNotification(status=status, **{name: getattr(new.row, name) for name in names})
    return known


def _group_keys_by_service(notifications: Sequence[NewNotification]) -> dict[UUID, set[str]]:
    keys_by_service: dict[UUID, set[str]] = {}
    for new in notifications:
        if new.key:
            service, key = new.key
            keys_by_service.setdefault(service, set()).add(key)
    return keys_by_service


def _build_result(
    new: NewNotification, written: dict[UUID, Status], earlier: dict[ServiceKey, EarlierNotification]
) -> SubmissionResult | IdempotencyError:
    row = new.row
    if status := written.get(row.id):
        names = ("id", "created_at", "send_at", "batch_id")
        return SubmissionResult(status=status, **{name: getattr(row, name) for name in names})
    if new.key is None or row.request_hash is None or new.key not in earlier:
        return IdempotencyInProgressError()
    known = earlier[new.key]
    return known.replayed(row.request_hash, is_own=known.id == row.id)
