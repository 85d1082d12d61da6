"""The rows of merges, of their files and of their faults: create, read, lock, change. Nothing here commits."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import build_insert, build_statement, encode_rows, is_sqlite
from notifier.db.tables import Merge, MergeChunk, MergeFault, MergeRecipient, get_columns
from notifier.errors import NotFoundError
from notifier.job_states import MergeState
from notifier.merge.merge_view import ENDED_MERGE_STATES, FaultyRow, MergeView
from notifier.outbox.queue_sql import UUID_TYPE
from notifier.states import KeyKind

MAX_OPEN_MERGES = 20
"""Merges of a service that have not ended."""
MAX_UPLOAD_TIME = timedelta(hours=1)
"""An upload that is older was given up, and is deleted by the next upload of its service."""
TIDY_ROWS = 1000
TIDY_CHUNKS = 2
"""What one transaction deletes when a merge has ended: addresses, and parts of the file."""
_merge, _chunk, _fault = get_columns(Merge), get_columns(MergeChunk), get_columns(MergeFault)
_recipient = get_columns(MergeRecipient)
_VIEW_COLUMNS = [_merge[name] for name in MergeView.__dataclass_fields__]

# Only the first row of each address is inserted; the others are the duplicates.
_ADD_RECIPIENTS = build_statement(
    "INSERT INTO merge_recipient (merge_id, address_hash, number)"
    " SELECT :merge, r.address_hash, r.number"
    " FROM json_to_recordset(CAST(:rows AS json)) AS r(address_hash uuid, number int)"
    " ON CONFLICT DO NOTHING RETURNING number",
    "INSERT OR IGNORE INTO merge_recipient (merge_id, address_hash, number)"
    " SELECT :merge, value ->> 'address_hash', value ->> 'number' FROM json_each(:rows) RETURNING number",
    parameters={"merge": UUID_TYPE},
)
_FIRST_ROWS = build_statement(
    "SELECT address_hash, number FROM merge_recipient"
    " WHERE merge_id = :merge AND address_hash = ANY(CAST(CAST(:hashes AS text[]) AS uuid[]))",
    "SELECT address_hash, number FROM merge_recipient"
    " WHERE merge_id = :merge AND address_hash IN (SELECT value FROM json_each(:hashes))",
    parameters={"merge": UUID_TYPE},
    columns={"address_hash": UUID_TYPE},
)


# -- the merge ---------------------------------------------------------------------------------------------------------


async def insert_merge(connection: AsyncConnection, row: Mapping[str, Any]) -> None:
    """Write a merge. Values that are None must be left out, because they would be JSON's null."""
    await connection.execute(insert(Merge).values({name: value for name, value in row.items() if value is not None}))


async def find_merge(connection: AsyncConnection, id_: UUID, *, lock: bool = False) -> MergeView | None:
    """Find a merge; `lock` keeps others from changing it until this transaction ends."""
    query: Select[Any] = select(*_VIEW_COLUMNS).where(_merge.id == id_)
    row = (await connection.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
    return MergeView(**row) if row is not None else None


async def get_merge(
    connection: AsyncConnection, service_id: UUID, id_: UUID, reach: Sequence[KeyKind], *, lock: bool = False
) -> MergeView:
    """Get a merge of the service whose key is of a kind within reach. Raises `NotFoundError`."""
    merge = await find_merge(connection, id_, lock=lock)
    is_visible = merge is not None and merge.service_id == service_id and merge.kind in reach
    if merge is None or not is_visible or merge.state is MergeState.UPLOADING:
        raise NotFoundError("there is no such merge")
    return merge


async def list_merges(
    connection: AsyncConnection, service_id: UUID, reach: Sequence[KeyKind], *, before: UUID | None, limit: int
) -> list[MergeView]:
    """List the merges of a service, newest first, those after the id `before`."""
    query = select(*_VIEW_COLUMNS).where(
        _merge.service_id == service_id, _merge.kind.in_(reach), _merge.state != MergeState.UPLOADING
    )
    if before is not None:
        query = query.where(_merge.id < before)
    rows = await connection.execute(query.order_by(_merge.id.desc()).limit(limit))
    return [MergeView(**row) for row in rows.mappings()]


async def count_open_merges(connection: AsyncConnection, service_id: UUID) -> int:
    """Count the merges of a service that have not ended."""
    query = select(func.count()).where(_merge.service_id == service_id, _merge.state.not_in(ENDED_MERGE_STATES))
    return int((await connection.execute(query)).scalar_one())


async def update_merge(connection: AsyncConnection, id_: UUID, now: datetime, **values: Any) -> None:
    """Change columns of a merge."""
    await connection.execute(update(Merge).where(_merge.id == id_).values(values | {"updated_at": now}))


async def set_merge_state(connection: AsyncConnection, id_: UUID, state: MergeState, now: datetime) -> None:
    """Change the state of a merge."""
    ended_at = now if state in ENDED_MERGE_STATES else None
    await update_merge(connection, id_, now, state=state, ended_at=ended_at)


# -- its file ----------------------------------------------------------------------------------------------------------


async def add_chunk(connection: AsyncConnection, merge_id: UUID, number: int, data: bytes) -> None:
    """Write a part of the file."""
    await connection.execute(insert(MergeChunk).values(merge_id=merge_id, number=number, octets=data))


async def load_chunk(connection: AsyncConnection, merge_id: UUID, number: int) -> bytes | None:
    """Load a part of the file; None: there are no more, or the file is gone."""
    query = select(_chunk.octets).where(_chunk.merge_id == merge_id, _chunk.number == number)
    data = (await connection.execute(query)).scalar_one_or_none()
    return bytes(data) if data is not None else None


async def delete_merge(connection: AsyncConnection, merge_id: UUID) -> None:
    """Delete an upload that was not complete."""
    await connection.execute(delete(MergeChunk).where(_chunk.merge_id == merge_id))
    await connection.execute(delete(Merge).where(_merge.id == merge_id, _merge.state == MergeState.UPLOADING))


async def delete_old_uploads(connection: AsyncConnection, service_id: UUID, now: datetime) -> None:
    """Delete the uploads of a service that were given up."""
    query = select(_merge.id).where(
        _merge.service_id == service_id,
        _merge.state == MergeState.UPLOADING,
        _merge.created_at < now - MAX_UPLOAD_TIME,
    )
    for id_ in (await connection.execute(query.limit(1))).scalars().all():
        await delete_merge(connection, id_)


async def tidy_merge(connection: AsyncConnection, merge_id: UUID) -> bool:
    """Delete some of the addresses and of the file of a merge that has ended; False: nothing is left."""
    hashes = select(_recipient.address_hash).where(_recipient.merge_id == merge_id).limit(TIDY_ROWS)
    gone = delete(MergeRecipient).where(_recipient.merge_id == merge_id, _recipient.address_hash.in_(hashes))
    recipients = (await connection.execute(gone)).rowcount
    numbers = select(_chunk.number).where(_chunk.merge_id == merge_id).order_by(_chunk.number.desc()).limit(TIDY_CHUNKS)
    chunks = (
        await connection.execute(delete(MergeChunk).where(_chunk.merge_id == merge_id, _chunk.number.in_(numbers)))
    ).rowcount
    return bool(recipients or chunks)


async def purge_merge(connection: AsyncConnection, ended_before: datetime) -> bool:
    """Delete some rows of a merge that ended, or was left unstarted, before this time; False: there is none.

    A retention job calls it again and again, each time in a transaction of its own.
    """
    is_over = _merge.updated_at < ended_before  # nothing changes it after its end
    states = sorted({*ENDED_MERGE_STATES, MergeState.CHECKED, MergeState.UPLOADING})
    query = select(_merge.id).where(_merge.state.in_(states), is_over).order_by(_merge.id).limit(1)
    id_ = (await connection.execute(query)).scalar_one_or_none()
    if id_ is None:
        return False
    if await tidy_merge(connection, id_):
        return True
    numbers = select(_fault.number).where(_fault.merge_id == id_).order_by(_fault.number).limit(TIDY_ROWS)
    faults = delete(MergeFault).where(_fault.merge_id == id_, _fault.number.in_(numbers))
    if not (await connection.execute(faults)).rowcount:
        await connection.execute(delete(Merge).where(_merge.id == id_))
    return True


# -- its addresses and faults ------------------------------------------------------------------------------------------


async def add_recipients(connection: AsyncConnection, merge_id: UUID, rows: Mapping[UUID, int]) -> int:
    """Write addresses (hash → row); returns how many of them no earlier row has."""
    if not rows:
        return 0
    values = [{"address_hash": hash_, "number": number} for hash_, number in rows.items()]
    bound = {"merge": merge_id, "rows": encode_rows(values, sqlite=is_sqlite(connection))}
    return len((await connection.execute(_ADD_RECIPIENTS.for_connection(connection), bound)).all())


async def find_first_rows(connection: AsyncConnection, merge_id: UUID, hashes: Sequence[UUID]) -> dict[UUID, int]:
    """Find the first row of each of these addresses."""
    texts = [hash_.hex for hash_ in hashes]
    bound = {"merge": merge_id, "hashes": json.dumps(texts) if is_sqlite(connection) else texts}
    rows = await connection.execute(_FIRST_ROWS.for_connection(connection), bound)
    return {row.address_hash: row.number for row in rows}


async def add_faults(connection: AsyncConnection, merge_id: UUID, rows: Sequence[FaultyRow]) -> None:
    """Write rows with faults, except those that have been written."""
    if rows:
        values = [
            {"merge_id": merge_id, "number": row.number, "faults": list(row.faults), "cells": list(row.cells)}
            for row in rows
        ]
        await connection.execute(build_insert(connection, MergeFault).on_conflict_do_nothing(), values)


async def list_faults(connection: AsyncConnection, merge_id: UUID, *, after: int, limit: int) -> list[FaultyRow]:
    """List the rows with faults behind the row `after`, in their order."""
    query = select(_fault.number, _fault.faults, _fault.cells).where(_fault.merge_id == merge_id, _fault.number > after)
    rows = await connection.execute(query.order_by(_fault.number).limit(limit))
    return [FaultyRow(**row) for row in rows.mappings()]
