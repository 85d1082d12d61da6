"""Gives the space of deleted rows back to the file system, on SQLite.

A file that this release created is in the mode of incremental vacuum. In an older file the free pages are used again by
new rows, and the file keeps its size (docs/retention.md says how to change that).
"""

import sqlite3
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import is_sqlite
from notifier.retention.purge_step import PurgePhase, PurgeProgress, PurgeStep

PAGES_IN_A_STEP = 200
"""Pages of 4 KiB that one step gives back."""
KEPT_SHARE = 10
"""Of the pages of the file one in this many may stay free, for the rows of the next day."""
_INCREMENTAL = 2


class FileSpace(PurgePhase):
    """Gives free pages back."""

    name = "space"

    async def apply(self, connection: AsyncConnection, step: PurgeStep, prepared: Any) -> PurgeProgress:  # noqa: ARG002 - nothing is prepared
        """Give some pages back, if more are free than the file needs; nothing on PostgreSQL."""
        if not is_sqlite(connection) or await _get_pragma(connection, "auto_vacuum") != _INCREMENTAL:
            return PurgeProgress(after=None)
        free, pages = await _get_pragma(connection, "freelist_count"), await _get_pragma(connection, "page_count")
        if free <= pages // KEPT_SHARE:
            return PurgeProgress(after=None)
        count = min(PAGES_IN_A_STEP, free - pages // KEPT_SHARE)
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver._execute(_free_pages, driver._conn, count)  # noqa: SLF001 - as the engine does
        return PurgeProgress(after="more", counts={"pages": count})


def _free_pages(connection: sqlite3.Connection, count: int) -> None:
    """Give pages back one by one: the module makes one step of a statement without columns, which is one page."""
    for _ in range(count):
        connection.execute("PRAGMA incremental_vacuum(1)")


async def _get_pragma(connection: AsyncConnection, name: str) -> int:
    return int((await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one())
