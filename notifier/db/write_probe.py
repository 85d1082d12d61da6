"""Checks whether a database or directory can be written: writes as much as a notification, and undoes it.

Reads still work on a full disk, so only a write can tell. The probe runs only after a sign of a fault: a failed write,
or a disk with almost no space.
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
from notifier.db.database_errors import READ_ONLY_DATABASE
from notifier.db.engine import Database
from notifier.db.tables import Attachment
from notifier.errors import DatabaseUnavailableError

PROBE_BYTES = 512 * 1024
LOW_BYTES = 2 * PROBE_BYTES
PROBE_SECONDS = 2.5
# With so small a cache SQLite writes to the file before the commit, which the probe never reaches.
_SMALL_CACHE = "PRAGMA cache_size = 8"
_PROBE_SQLITE = "INSERT INTO attachment (sha256, octets, created_at) VALUES (randomblob(32), zeroblob(?), '')"
_PROBE_POSTGRES = insert(Attachment).values({name: bindparam(name) for name in ("sha256", "octets", "created_at")})
_TAKES_WRITES = text("SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS yes")


class _UndoError(Exception):
    """Raised to roll back a successful probe."""


async def find_write_fault(database: Database, *, thorough: bool = False) -> str | None:
    """Find the reason why nothing can be written. None: it can, or there is no sign of a fault.

    `thorough`: probe in any case; on SQLite beside the database, which another process may own. A database that is out
    of reach raises nothing.
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
    """Find the reason why nothing can be written to a directory. None: it can. Writes only if there is little space."""
    try:
        if thorough or _has_low_space(folder):
            with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
                file.write(bytes(PROBE_BYTES))
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _has_low_space(folder: Path) -> bool:
    """True if the file system is read-only or almost full."""
    disk = os.statvfs(folder)
    return bool(disk.f_flag & os.ST_RDONLY) or disk.f_bavail * disk.f_frsize < LOW_BYTES


async def _check_for_read_only(database: Database) -> None:
    """Raise the error of a failed write if the server takes no writes, and drop the connection."""
    async with database.inspect() as connection:
        if not (await connection.execute(_TAKES_WRITES)).scalar_one():
            await connection.invalidate()
            refusal = asyncpg.ReadOnlySQLTransactionError("the server takes no writes")
            database.write_faults.note(refusal)
            raise refusal
    if database.write_faults.reason == READ_ONLY_DATABASE:
        database.write_faults.reason = None


async def _probe(database: Database) -> None:
    """Write as much as a notification may have, and roll it back. Raises `DatabaseUnavailableError`."""
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
    (cache_size,) = connection.execute("PRAGMA cache_size").fetchone()
    connection.execute(_SMALL_CACHE)
    try:
        connection.execute(_PROBE_SQLITE, (PROBE_BYTES,))
    finally:
        connection.execute(f"PRAGMA cache_size = {cache_size}")
    raise _UndoError
