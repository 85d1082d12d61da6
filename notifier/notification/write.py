"""Writing accepted notifications with their outbox entries: the writer that `outbox.intake` is given.

Equal idempotency keys meet here, in the partial unique index: the first row wins, the others are answered from it.
A batch is one statement on PostgreSQL, and a handful in one hop to the writer's thread on SQLite.
"""

import json
import sqlite3
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.direct import Connection
from notifier.errors import IdempotencyInProgressError
from notifier.notification import octets, write_sql
from notifier.outbox.intake import LOCK_TIMEOUT_MS, Size, Writer
from notifier.states import Status
from notifier.submission.idempotency_keys import (
    EarlierNotification,
    IdempotencyError,
    ServiceKey,
    SubmissionResult,
    find_earlier_notifications,
    parse_earlier,
)
from notifier.submission.new_notification import NewNotification


async def write_within(connection: AsyncConnection, draft: NewNotification) -> SubmissionResult:
    """Write one that has no idempotency key in a transaction of somebody else's, who commits and wakes the sender."""
    if connection.dialect.name == "sqlite":
        driver: Any = (await connection.get_raw_connection()).driver_connection
        (result,) = await driver._execute(_on_sqlite, driver._conn, [draft])  # noqa: SLF001 - as the engine does
    else:
        (result,) = await _on_postgres(connection, [draft], LOCK_TIMEOUT_MS)
    if not isinstance(result, SubmissionResult):
        raise result
    return result


async def _on_postgres(
    connection: Connection, drafts: Sequence[NewNotification], lock_ms: int
) -> list[SubmissionResult | IdempotencyError]:
    written = await _write_on_postgres(connection, drafts, lock_ms)
    if there := [draft.row.id for draft in drafts if draft.key is None and draft.row.id not in written]:
        found = await connection.execute(write_sql.THERE_POSTGRES, {"ids": there})
        written |= {row.id: Status(row.status) for row in found}
    if not (lost := _lost(drafts, written)):
        return [_result(draft, written, {}) for draft in drafts]
    # A row that another transaction committed meanwhile is not in the snapshot of the statement that met it.
    earlier: dict[ServiceKey, EarlierNotification] = {}
    for service, keys in _by_service(lost).items():
        earlier |= await find_earlier_notifications(connection, service, keys)
    if outdated := _outdated(lost, earlier):
        ids = [earlier[draft.key].id for draft in outdated if draft.key]
        await connection.execute(write_sql.FORGET_POSTGRES, {"ids": ids})
        written |= await _write_on_postgres(connection, outdated, lock_ms)
        earlier = _renewed(earlier, outdated, written)
    return [_result(draft, written, earlier) for draft in drafts]


async def _write_on_postgres(
    connection: Connection, drafts: Sequence[NewNotification], lock_ms: int
) -> dict[UUID, Status]:
    # Sorted, because concurrent writers that take unique keys in different orders deadlock.
    ordered = sorted(drafts, key=lambda draft: (draft.row.service_id.hex, draft.row.idempotency_key or ""))
    batch = f"[{','.join([draft.records_for_postgres for draft in ordered])}]"
    statement, values = write_sql.POSTGRES, {"batch": batch, "lock_ms": str(lock_ms)}
    if any(draft.attachments for draft in ordered):
        carried = [(draft.row.id, file) for draft in ordered for file in draft.attachments]
        statement, values = write_sql.POSTGRES_WITH_FILES, values | await octets.unknown(connection, carried)
    return {row.id: Status(row.status) for row in await connection.execute(statement, values)}


def _on_sqlite(
    connection: sqlite3.Connection, drafts: Sequence[NewNotification]
) -> list[SubmissionResult | IdempotencyError]:
    written = _write_on_sqlite(connection, drafts)
    if not (lost := _lost(drafts, written)):
        return [_result(draft, written, {}) for draft in drafts]
    earlier = dict(
        parse_earlier(service, row)
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


def _write_on_sqlite(connection: sqlite3.Connection, drafts: Sequence[NewNotification]) -> dict[UUID, Status]:
    batch = f"[{','.join([draft.records_for_sqlite for draft in drafts])}]"
    none = bytes(write_sql.HASH_BYTES)  # of a copy, and of what has no key
    hashes = b"".join((draft.row.request_hash or none) + none * len(draft.copies) for draft in drafts)
    for statement in write_sql.SQLITE:
        connection.execute(statement, {"batch": batch, "hashes": hashes})
    ((found,),) = connection.execute(write_sql.WRITTEN_SQLITE, {"batch": batch})
    written = {UUID(id_): Status(status) for id_, status in msgspec.json.decode(found)}
    for draft in drafts:
        if draft.attachments and draft.row.id in written:
            octets.keep_on_sqlite(connection, draft.attachments, draft.row.created_at)
    return written


def _size_on_postgres(draft: NewNotification) -> Size:
    return _size(draft, draft.records_for_postgres)


def _size_on_sqlite(draft: NewNotification) -> Size:
    return _size(draft, draft.records_for_sqlite)


def _size(draft: NewNotification, records: str) -> Size:
    """One row for each mail, and all the bytes that are handed to the database."""
    files = sum([len(file.data) for file in draft.attachments]) if draft.attachments else 0
    return Size(draft.mail_count, len(records) + files)


WRITER = Writer(
    on_postgres=_on_postgres,
    on_sqlite=_on_sqlite,
    size_on_postgres=_size_on_postgres,
    size_on_sqlite=_size_on_sqlite,
)


def _lost(drafts: Sequence[NewNotification], written: Collection[UUID]) -> list[NewNotification]:
    """Those whose key another row has."""
    return [draft for draft in drafts if draft.key and draft.row.id not in written]


def _outdated(lost: Sequence[NewNotification], earlier: dict[ServiceKey, EarlierNotification]) -> list[NewNotification]:
    """Those whose key is that of a row so old that it does not count any more; of several with one key the first."""
    found: dict[ServiceKey, NewNotification] = {}
    for draft in lost:
        before = earlier.get(draft.key) if draft.key else None
        if draft.key and before and before.is_outdated(draft.row.created_at, draft.key_lifetime):
            found.setdefault(draft.key, draft)
    return list(found.values())


def _renewed(
    earlier: dict[ServiceKey, EarlierNotification], outdated: Sequence[NewNotification], written: dict[UUID, Status]
) -> dict[ServiceKey, EarlierNotification]:
    """What the others with such a key are answered from: the new row; nothing, if somebody else was faster."""
    known = dict(earlier)
    for draft in outdated:
        if draft.key:
            del known[draft.key]
            if status := written.get(draft.row.id):
                names = ("id", "created_at", "send_at", "request_hash", "batch_id")
                known[draft.key] = EarlierNotification(
                    status=status, **{name: getattr(draft.row, name) for name in names}
                )
    return known


def _by_service(drafts: Sequence[NewNotification]) -> dict[UUID, set[str]]:
    found: dict[UUID, set[str]] = {}
    for draft in drafts:
        if draft.key:
            service, key = draft.key
            found.setdefault(service, set()).add(key)
    return found


def _result(
    draft: NewNotification, written: dict[UUID, Status], earlier: dict[ServiceKey, EarlierNotification]
) -> SubmissionResult | IdempotencyError:
    row = draft.row
    if status := written.get(row.id):
        names = ("id", "created_at", "send_at", "batch_id")
        return SubmissionResult(status=status, **{name: getattr(row, name) for name in names})
    if draft.key is None or row.request_hash is None or draft.key not in earlier:
        return IdempotencyInProgressError()
    known = earlier[draft.key]
    return known.replayed(row.request_hash, is_own=known.id == row.id)
