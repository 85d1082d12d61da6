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
from notifier.submission import attachment_store, notification_writer_sql
from notifier.submission.idempotency_keys import (
    EarlierNotification,
    IdempotencyError,
    ServiceKey,
    SubmissionResult,
    find_earlier_notifications,
    parse_earlier,
)
from notifier.submission.new_notification import NewNotification


async def write_in_transaction(connection: AsyncConnection, notification: NewNotification) -> SubmissionResult:
    """Write one without an idempotency key in the caller's transaction; the caller commits and wakes the sender."""
    if connection.dialect.name == "sqlite":
        driver: Any = (await connection.get_raw_connection()).driver_connection
        (result,) = await driver._execute(_write_batch_sqlite, driver._conn, [notification])  # noqa: SLF001 - as the engine does
    else:
        (result,) = await _write_batch_postgres(connection, [notification], LOCK_TIMEOUT_MS)
    if not isinstance(result, SubmissionResult):
        raise result
    return result


async def _write_batch_postgres(
    connection: StatementConnection, notifications: Sequence[NewNotification], lock_ms: int
) -> list[SubmissionResult | IdempotencyError]:
    written = await _insert_postgres(connection, notifications, lock_ms)
    if unwritten_ids := [
        notification.row.id
        for notification in notifications
        if notification.key is None and notification.row.id not in written
    ]:
        rows = await connection.execute(notification_writer_sql.WRITTEN_POSTGRES, {"ids": unwritten_ids})
        written |= {row.id: Status(row.status) for row in rows}
    if not (lost := _select_lost(notifications, written)):
        return [_build_result(notification, written, {}) for notification in notifications]
    # A new query, because the snapshot of the insert does not have rows that were committed meanwhile.
    earlier: dict[ServiceKey, EarlierNotification] = {}
    for service, keys in _group_keys_by_service(lost).items():
        earlier |= await find_earlier_notifications(connection, service, keys)
    if outdated := _select_outdated(lost, earlier):
        ids = [earlier[notification.key].id for notification in outdated if notification.key]
        await connection.execute(notification_writer_sql.RELEASE_KEYS_POSTGRES, {"ids": ids})
        written |= await _insert_postgres(connection, outdated, lock_ms)
        earlier = _renew_earlier(earlier, outdated, written)
    return [_build_result(notification, written, earlier) for notification in notifications]


async def _insert_postgres(
    connection: StatementConnection, notifications: Sequence[NewNotification], lock_ms: int
) -> dict[UUID, Status]:
    # Sorted, because concurrent writers that take unique keys in different orders deadlock.
    ordered = sorted(
        notifications,
        key=lambda notification: (notification.row.service_id.hex, notification.row.idempotency_key or ""),
    )
    batch = f"[{','.join([notification.records_for_postgres for notification in ordered])}]"
    statement, values = notification_writer_sql.POSTGRES, {"batch": batch, "lock_ms": str(lock_ms)}
    if any(notification.attachments for notification in ordered):
        carried = [(notification.row.id, file) for notification in ordered for file in notification.attachments]
        statement, values = (
            notification_writer_sql.POSTGRES_WITH_FILES,
            values | await attachment_store.find_missing_files(connection, carried),
        )
    return {row.id: Status(row.status) for row in await connection.execute(statement, values)}


def _write_batch_sqlite(
    connection: sqlite3.Connection, notifications: Sequence[NewNotification]
) -> list[SubmissionResult | IdempotencyError]:
    written = _insert_sqlite(connection, notifications)
    if not (lost := _select_lost(notifications, written)):
        return [_build_result(notification, written, {}) for notification in notifications]
    earlier = dict(
        parse_earlier(service, row)
        for service, keys in _group_keys_by_service(lost).items()
        for row in connection.execute(
            notification_writer_sql.EARLIER_SQLITE, {"service": service.hex, "keys": json.dumps(list(keys))}
        )
    )
    if outdated := _select_outdated(lost, earlier):
        ids = json.dumps([earlier[notification.key].id.hex for notification in outdated if notification.key])
        connection.execute(notification_writer_sql.RELEASE_KEYS_SQLITE, {"ids": ids})
        written |= _insert_sqlite(connection, outdated)
        earlier = _renew_earlier(earlier, outdated, written)
    return [_build_result(notification, written, earlier) for notification in notifications]


def _insert_sqlite(connection: sqlite3.Connection, notifications: Sequence[NewNotification]) -> dict[UUID, Status]:
    batch = f"[{','.join([notification.records_for_sqlite for notification in notifications])}]"
    none = bytes(notification_writer_sql.HASH_BYTES)  # for copies, and for requests without a key
    hashes = b"".join(
        (notification.row.request_hash or none) + none * len(notification.copies) for notification in notifications
    )
    for statement in notification_writer_sql.SQLITE:
        connection.execute(statement, {"batch": batch, "hashes": hashes})
    ((written_json,),) = connection.execute(notification_writer_sql.WRITTEN_SQLITE, {"batch": batch})
    written = {UUID(id_): Status(status) for id_, status in msgspec.json.decode(written_json)}
    for notification in notifications:
        if notification.attachments and notification.row.id in written:
            attachment_store.store_files_sqlite(connection, notification.attachments, notification.row.created_at)
    return written


def _measure_postgres(notification: NewNotification) -> CommitSize:
    return _measure(notification, notification.records_for_postgres)


def _measure_sqlite(notification: NewNotification) -> CommitSize:
    return _measure(notification, notification.records_for_sqlite)


def _measure(notification: NewNotification, records: str) -> CommitSize:
    """Count one row for each mail, and all bytes that go to the database."""
    files = sum([len(file.data) for file in notification.attachments]) if notification.attachments else 0
    return CommitSize(notification.mail_count, len(records) + files)


WRITER = CommitWriter(
    on_postgres=_write_batch_postgres,
    on_sqlite=_write_batch_sqlite,
    size_on_postgres=_measure_postgres,
    size_on_sqlite=_measure_sqlite,
)


def _select_lost(notifications: Sequence[NewNotification], written: Collection[UUID]) -> list[NewNotification]:
    """Those whose idempotency key another row has."""
    return [notification for notification in notifications if notification.key and notification.row.id not in written]


def _select_outdated(
    lost: Sequence[NewNotification], earlier: dict[ServiceKey, EarlierNotification]
) -> list[NewNotification]:
    """Those whose key belongs to a row that is too old to count; of several with one key the first."""
    outdated_by_key: dict[ServiceKey, NewNotification] = {}
    for notification in lost:
        existing = earlier.get(notification.key) if notification.key else None
        if (
            notification.key
            and existing
            and existing.is_outdated(notification.row.created_at, notification.key_lifetime)
        ):
            outdated_by_key.setdefault(notification.key, notification)
    return list(outdated_by_key.values())


def _renew_earlier(
    earlier: dict[ServiceKey, EarlierNotification], outdated: Sequence[NewNotification], written: dict[UUID, Status]
) -> dict[ServiceKey, EarlierNotification]:
    """The rows from which others with such a key are answered: the new ones, where they were written."""
    known = dict(earlier)
    for notification in outdated:
        if notification.key:
            del known[notification.key]
            if status := written.get(notification.row.id):
                names = ("id", "created_at", "send_at", "request_hash", "batch_id")
                known[notification.key] = EarlierNotification(
                    status=status, **{name: getattr(notification.row, name) for name in names}
                )
    return known


def _group_keys_by_service(notifications: Sequence[NewNotification]) -> dict[UUID, set[str]]:
    keys_by_service: dict[UUID, set[str]] = {}
    for notification in notifications:
        if notification.key:
            service, key = notification.key
            keys_by_service.setdefault(service, set()).add(key)
    return keys_by_service


def _build_result(
    notification: NewNotification, written: dict[UUID, Status], earlier: dict[ServiceKey, EarlierNotification]
) -> SubmissionResult | IdempotencyError:
    row = notification.row
    if status := written.get(row.id):
        names = ("id", "created_at", "send_at", "batch_id")
        return SubmissionResult(status=status, **{name: getattr(row, name) for name in names})
    if notification.key is None or row.request_hash is None or notification.key not in earlier:
        return IdempotencyInProgressError()
    known = earlier[notification.key]
    return known.replayed(row.request_hash, is_own=known.id == row.id)
