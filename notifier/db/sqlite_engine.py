"""SQLite's engines: one connection writes and does the checkpoints, the others only read."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

import aiosqlite
from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from notifier.db.connection_pool import build_pool_options
from notifier.db.database_url import SqliteAddress

SQLITE_BUSY_MS = 2000
Result = TypeVar("Result")


def create_sqlite_engine(address: SqliteAddress, *, read_only: bool, pool_size: int) -> AsyncEngine:
    """Create an engine for an existing file."""
    # A URI, because only there `mode=rw` opens a file without creating it.
    file = f"file:{quote(os.fsencode(address.path.absolute()))}"
    url = URL.create("sqlite+aiosqlite", database=file, query={"mode": "rw", "uri": "true"})
    engine = create_async_engine(
        url,
        **build_pool_options(pool_size),
        hide_parameters=True,
        connect_args={
            "isolation_level": None,
            "timeout": SQLITE_BUSY_MS / 1000,
            "async_creator_fn": _open_connection,
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        pragmas = ["foreign_keys=ON", f"busy_timeout={SQLITE_BUSY_MS}"]
        if read_only:
            # Before SQLite 3.51.3, checkpoints by several connections can corrupt the WAL. Only the writer does them.
            pragmas += ["wal_autocheckpoint=0", "query_only=ON"]
        else:
            # The first one counts only while the file is empty, or with a VACUUM (docs/decisions/retention.md).
            pragmas += ["auto_vacuum=INCREMENTAL", "journal_mode=WAL", "synchronous=FULL"]
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        # A deferred transaction that starts to write late fails if another one has written meanwhile.
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def run_transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], Result]) -> Result:
    """Run `work` as one transaction, in the thread of the connection."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.rollback()
    return result


async def _open_connection(*args: Any, **options: Any) -> aiosqlite.Connection:
    """Open a connection. If that fails, its thread is joined, because it would report to a closed event loop later."""
    connection = aiosqlite.connect(*args, **options)
    thread = connection._thread  # noqa: SLF001 - as in SQLAlchemy's dialect
    thread.daemon = True
    try:
        return await connection
    except sqlite3.Error:
        await asyncio.to_thread(thread.join)
        raise
