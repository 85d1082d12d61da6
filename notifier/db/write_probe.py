"""A probe that truly writes to a database or a folder, to find out whether anything can be written.

Reading goes on when a disk is full, so only a write can tell. The probe runs where something points to a fault: a write
that failed, a disk with next to no room. It is as large as a notification, and rolled back.
"""

import asyncio
import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path

import asyncpg
from sqlalchemy import bindparam, insert, text

from notifier.clock import SystemClock
from notifier.db.engine import Database
from notifier.db.tables import Attachment
from notifier.db.write_faults import READ_ONLY_DATABASE
from notifier.errors import DatabaseUnavailableError

PROBE_BYTES = 512 * 1024
LOW_BYTES = 2 * PROBE_BYTES
PROBE_SECONDS = 2.5
# Beyond this many pages SQLite writes to the file before the commit, which the probe never reaches.
_SMALL_CACHE = "PRAGMA cache_size = 8"
_PROBE_SQLITE = "INSERT INTO attachment (sha256, octets, created_at) VALUES (randomblob(32), zeroblob(?), '')"
_PROBE_POSTGRES = insert(Attachment).values({name: bindparam(name) for name in ("sha256", "octets", "created_at")})
_TAKES_WRITES = text("SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS yes")


class _UndoError(Exception):
    """The probe went well, and is rolled back."""


async def find_write_fault(database: Database, *, thorough: bool = False) -> str | None:
    """Why nothing can be written, as a phrase about the database; None if it can, or nothing points to a fault.

    `thorough`: try it in any case; on SQLite beside the database, which another process may own. Raises nothing for a
    database that is away.
    """
    faults, folder = database.write_faults, database.folder
    if thorough and folder is not None:
        fault = find_disk_fault(folder, thorough=True)
        return f"no file can be written beside it ({fault}): free some space, or check the rights" if fault else None
    try:
        if folder is None:
            await _check_for_read_only(database)
        suspect = thorough if folder is None else _has_low_space(folder)
        if faults.reason is None and not suspect:
            return None
        async with faults.probing, asyncio.timeout(PROBE_SECONDS):
            await _probe(database)
    except (DatabaseUnavailableError, TimeoutError):
        return faults.reason
    faults.reason = None
    return None


def find_disk_fault(folder: Path, *, thorough: bool = False) -> str | None:
    """Why nothing can be written to a folder; None if it can. Tried in earnest where there is little room left."""
    try:
        if thorough or _has_low_space(folder):
            with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
                file.write(bytes(PROBE_BYTES))
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _has_low_space(folder: Path) -> bool:
    """True if the file system is read-only, or has next to no room."""
    disk = os.statvfs(folder)
    return bool(disk.f_flag & os.ST_RDONLY) or disk.f_bavail * disk.f_frsize < LOW_BYTES


async def _check_for_read_only(database: Database) -> None:
    """Raise, as a write would, if this server takes none; the connection is given up, as after a write."""
    async with database.inspect() as connection:
        if not (await connection.execute(_TAKES_WRITES)).scalar_one():
            await connection.invalidate()
            refusal = asyncpg.ReadOnlySQLTransactionError("the server takes no writes")
            database.write_faults.note(refusal)
            raise refusal
    if database.write_faults.reason == READ_ONLY_DATABASE:
        database.write_faults.reason = None


async def _probe(database: Database) -> None:
    """Write as much as a notification may have, and take it back. Raises `DatabaseUnavailableError`."""
    if database.is_sqlite:
        with contextlib.suppress(_UndoError):
            await database.run_in_writer(_write_and_undo)
        return
    row = {"sha256": os.urandom(32), "octets": os.urandom(PROBE_BYTES), "created_at": SystemClock().now()}
    with contextlib.suppress(_UndoError):
        async with database.direct_transaction() as connection:
            await connection.execute(_PROBE_POSTGRES, row)
            raise _UndoError


def _write_and_undo(connection: sqlite3.Connection) -> None:
    (usual,) = connection.execute("PRAGMA cache_size").fetchone()
    connection.execute(_SMALL_CACHE)
    try:
        connection.execute(_PROBE_SQLITE, (PROBE_BYTES,))
    finally:
        connection.execute(f"PRAGMA cache_size = {usual}")
    raise _UndoError
