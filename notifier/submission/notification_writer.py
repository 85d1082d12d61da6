"""Write new notifications with their outbox entries, in the commit that requests of one moment share.

Of requests with the same idempotency key the partial unique index lets the first in; the others are answered from its
row. A batch is one statement on PostgreSQL, and a few statements in the writer's thread on SQLite.
"""

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import confirm_read
from notifier.db.direct_connections import StatementConnection
from notifier.db.shared_commit import LOCK_TIMEOUT_MS, CommitSize, CommitWriter
from notifier.db.stored_file import RENEWAL_AFTER
from notifier.db.table_base import format_sqlite_time
from notifier.errors import IdempotencyInProgressError, IdempotencyKeyReusedError
from notifier.states import Status
from notifier.submission import notification_writer_sql as sql
from notifier.submission.attachment_validation import CheckedAttachment
from notifier.submission.new_notification import NewNotification, ServiceKey

_OLD = f"created_at <= now() - interval '{RENEWAL_AFTER.total_seconds():.0f} seconds'"
_KNOWN_FILES = text(f"SELECT sha256, {_OLD} AS is_old FROM attachment WHERE sha256 = ANY(CAST(:digests AS bytea[]))")  # noqa: S608 - our own constants
# In the order of the hashes, so that two writers do not deadlock. One that the purge has just deleted is not returned.
_RENEW_FILES = text("""
UPDATE attachment SET created_at = now() WHERE sha256 = ANY(ARRAY(
  SELECT sha256 FROM attachment WHERE sha256 = ANY(CAST(:digests AS bytea[])) ORDER BY sha256 FOR UPDATE))
RETURNING sha256""")
_STORE_FILE_SQLITE = """
INSERT INTO attachment (sha256, octets, created_at) VALUES (:sha256, :octets, :now)
ON CONFLICT (sha256) DO UPDATE SET created_at = excluded.created_at WHERE attachment.created_at <= :old"""
IdempotencyError = IdempotencyKeyReusedError | IdempotencyInProgressError
"""Why one notification of a batch was not written: a value, so that the others are written."""


@dataclass(frozen=True, kw_only=True)
class SubmissionResult:
    """The answer about an accepted notification."""

    id: UUID
    status: Status
    created_at: datetime
    send_at: datetime
    batch_id: UUID | None = None
    replayed: bool = False


@dataclass(frozen=True, kw_only=True)
class EarlierNotification:
    """The notification that already has an idempotency key."""

    result: SubmissionResult
    request_hash: bytes | None

    def is_outdated(self, now: datetime, lasts: timedelta) -> bool:
        """True if its key does not count any more."""
        return self.result.created_at <= now - lasts

    def replayed(self, request_hash: bytes, *, is_own: bool = False) -> SubmissionResult | IdempotencyKeyReusedError:
        """The answer to a request with the same key: this notification if it is the same request, else an error.

        `is_own`: this very request has written it, in a commit whose reply was lost.
        """
        if self.request_hash != request_hash:
            return IdempotencyKeyReusedError()
        return replace(self.result, replayed=not is_own)


async def find_earlier_notifications(
    connection: StatementConnection, service_id: UUID, keys: Collection[str]
) -> dict[ServiceKey, EarlierNotification]:
    """Find the service's notifications that have these keys, as durable as if they were written now."""
    if connection.dialect.name == "sqlite":
        values = {"service": service_id.hex, "keys": json.dumps(list(keys))}
        rows = await connection.execute(text(sql.EARLIER_SQLITE), values)
    else:
        rows = (await connection.execute(sql.EARLIER_POSTGRES, {"service": service_id, "keys": list(keys)})).all()
        if rows:
            await confirm_read(connection)
    return dict(_parse_earlier(service_id, row) for row in rows)


def _parse_earlier(service_id: UUID, row: Sequence[Any]) -> tuple[ServiceKey, EarlierNotification]:
    key, id_, status, created_at, send_at, request_hash, batch_id = row
    if isinstance(id_, str):  # SQLite knows only texts and numbers
        id_, batch_id = UUID(id_), UUID(batch_id) if batch_id else None
        created_at, send_at = (datetime.fromisoformat(time).replace(tzinfo=UTC) for time in (created_at, send_at))
    result = SubmissionResult(id=id_, status=Status(status), created_at=created_at, send_at=send_at, batch_id=batch_id)
    return (service_id, key), EarlierNotification(result=result, request_hash=request_hash)


async def write_in_transaction(connection: AsyncConnection, new: NewNotification) -> SubmissionResult:
    """Write one in the caller's transaction. The caller commits, and wakes the sender.

    If its idempotency key exists, nothing is written: returns the earlier notification, or raises
    `IdempotencyKeyReusedError` or `IdempotencyInProgressError`.
    """
    (result,) = await write_all_in_transaction(connection, [new])
    if not isinstance(result, SubmissionResult):
        raise result
    return result


async def write_all_in_transaction(
    connection: AsyncConnection, notifications: Sequence[NewNotification]
) -> list[SubmissionResult | IdempotencyError]:
    """Write several in the caller's transaction; returns one result for each, in order. The caller commits."""
    if connection.dialect.name == "sqlite":
        driver: Any = (await connection.get_raw_connection()).driver_connection
        connected = driver._conn  # noqa: SLF001 - as the engine does
        results: list[SubmissionResult | IdempotencyError] = await driver._execute(  # noqa: SLF001
            _write_batch_sqlite, connected, notifications
        )
        return results
    return await _write_batch_postgres(connection, notifications, LOCK_TIMEOUT_MS)


async def _write_batch_postgres(
    connection: StatementConnection, notifications: Sequence[NewNotification], lock_ms: int
) -> list[SubmissionResult | IdempotencyError]:
    written = await _insert_postgres(connection, notifications, lock_ms)
    if unwritten_ids := [new.row.id for new in notifications if new.key is None and new.row.id not in written]:
        rows = await connection.execute(sql.WRITTEN_POSTGRES, {"ids": unwritten_ids})
        await confirm_read(connection)
        written |= {row.id: Status(row.status) for row in rows}
    if not (lost := _select_lost(notifications, written)):
        return [_build_result(new, written, {}) for new in notifications]
    # A new query, because the snapshot of the insert does not have rows that were committed meanwhile.
    earlier: dict[ServiceKey, EarlierNotification] = {}
    for service, keys in _group_keys_by_service(lost).items():
        earlier |= await find_earlier_notifications(connection, service, keys)
    if outdated := _select_outdated(lost, earlier):
        ids = [earlier[new.key].result.id for new in outdated if new.key]
        await connection.execute(sql.RELEASE_KEYS_POSTGRES, {"ids": ids})
        written |= await _insert_postgres(connection, outdated, lock_ms)
        earlier = _renew_earlier(earlier, outdated, written)
    return [_build_result(new, written, earlier) for new in notifications]


async def _insert_postgres(
    connection: StatementConnection, notifications: Sequence[NewNotification], lock_ms: int
) -> dict[UUID, Status]:
    # Sorted, because concurrent writers that take unique keys in different orders deadlock.
    ordered = sorted(notifications, key=lambda new: (new.row.service_id.hex, new.row.idempotency_key or ""))
    batch = f"[{','.join([new.records_for_postgres for new in ordered])}]"
    statement, values = sql.POSTGRES, {"batch": batch, "lock_ms": str(lock_ms)}
    if attached := [(new.row.id, file) for new in ordered for file in new.attachments]:
        statement, values = sql.POSTGRES_WITH_FILES, values | await _find_missing_files(connection, attached)
    return {row.id: Status(row.status) for row in await connection.execute(statement, values)}


async def _find_missing_files(
    connection: StatementConnection, attached: Collection[tuple[UUID, CheckedAttachment]]
) -> dict[str, Any]:
    """The files that PostgreSQL does not have yet, and their notifications, as parameters of the insert.

    Those that it has are kept until the insert is committed: the purge deletes none whose time is recent.
    """
    digests = [file.sha256 for _, file in attached]
    stored = [(bytes(row.sha256), row.is_old) for row in await connection.execute(_KNOWN_FILES, {"digests": digests})]
    known = {digest for digest, is_old in stored if not is_old}
    if old := [digest for digest, is_old in stored if is_old]:
        known |= {bytes(row.sha256) for row in await connection.execute(_RENEW_FILES, {"digests": old})}
    missing = [(owner, file) for owner, file in attached if file.sha256 not in known]
    return {
        "owners": [owner for owner, _ in missing],
        "digests": [file.sha256 for _, file in missing],
        "octets": [file.data for _, file in missing],
    }


def _write_batch_sqlite(
    connection: sqlite3.Connection, notifications: Sequence[NewNotification]
) -> list[SubmissionResult | IdempotencyError]:
    written = _insert_sqlite(connection, notifications)
    if not (lost := _select_lost(notifications, written)):
        return [_build_result(new, written, {}) for new in notifications]
    earlier = dict(
        _parse_earlier(service, row)
        for service, keys in _group_keys_by_service(lost).items()
        for row in connection.execute(sql.EARLIER_SQLITE, {"service": service.hex, "keys": json.dumps(list(keys))})
    )
    if outdated := _select_outdated(lost, earlier):
        ids = json.dumps([earlier[new.key].result.id.hex for new in outdated if new.key])
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
            now, old = map(format_sqlite_time, (new.row.created_at, new.row.created_at - RENEWAL_AFTER))
            connection.executemany(
                _STORE_FILE_SQLITE,
                [{"sha256": file.sha256, "octets": file.data, "now": now, "old": old} for file in new.attachments],
            )
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
    """Those whose key belongs to a row that is too old to count; of several with the same key the first."""
    outdated_by_key: dict[ServiceKey, NewNotification] = {}
    for new in lost:
        existing = earlier.get(new.key) if new.key else None
        if new.key and existing and existing.is_outdated(new.row.created_at, new.key_lifetime):
            outdated_by_key.setdefault(new.key, new)
    return list(outdated_by_key.values())


def _renew_earlier(
    earlier: dict[ServiceKey, EarlierNotification], outdated: Sequence[NewNotification], written: dict[UUID, Status]
) -> dict[ServiceKey, EarlierNotification]:
    """The rows that answer requests with these keys: instead of the outdated ones those that were just written."""
    known = dict(earlier)
    for new in outdated:
        if new.key:
            del known[new.key]
            if result := _get_written(new, written):
                known[new.key] = EarlierNotification(result=result, request_hash=new.row.request_hash)
    return known


def _get_written(new: NewNotification, written: dict[UUID, Status]) -> SubmissionResult | None:
    row, status = new.row, written.get(new.row.id)
    if status is None:
        return None
    return SubmissionResult(
        id=row.id, status=status, created_at=row.created_at, send_at=row.send_at, batch_id=row.batch_id
    )


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
    if result := _get_written(new, written):
        return result
    if new.key is None or new.row.request_hash is None or new.key not in earlier:
        return IdempotencyInProgressError()
    known = earlier[new.key]
    return known.replayed(new.row.request_hash, is_own=known.result.id == new.row.id)
