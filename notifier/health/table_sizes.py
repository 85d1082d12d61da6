"""How large the tables are, for metrics: from what the database knows anyway, without counting a row.

PostgreSQL keeps an estimate of the rows, which a vacuum or ANALYZE renews. SQLite numbers rows as they are inserted,
and the purge deletes the oldest ones first, so the difference between the last and the first number is close.
"""

# ruff: noqa: S608 - SQL of our own constants; values are always bound

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import is_sqlite
from notifier.db.tables import Table

_TABLES = sorted(table.name for table in Table.metadata.sorted_tables)
# The audit has no row numbers. Rows of the queue and the index leave in any order, so numbers say nothing about them.
_NUMBERED = [name for name in _TABLES if not name.startswith(("audit", "outbox", "status_index"))]
_ROWS_SQLITE = text(
    " UNION ALL ".join(
        f"SELECT '{name}' AS name, coalesce((SELECT max(rowid) FROM {name}) - (SELECT min(rowid) FROM {name}) + 1, 0)"
        " AS rows"
        for name in _NUMBERED
    )
)
_SIZES_POSTGRES = text("""
SELECT c.relname AS name, greatest(c.reltuples, 0) AS rows, pg_total_relation_size(c.oid) AS bytes
FROM pg_class AS c
WHERE c.relname = ANY(CAST(:names AS text[])) AND c.relkind = 'r'
  AND c.relnamespace = CAST(current_schema() AS regnamespace)""")
_SIZE_POSTGRES = text("SELECT pg_database_size(current_database())")


@dataclass(frozen=True, kw_only=True)
class TableSize:
    """The size of a table."""

    name: str
    rows: int  # estimated
    bytes: int | None = None  # with its indexes; None: not known


@dataclass(frozen=True, kw_only=True)
class DatabaseSize:
    """The size of the database and its tables."""

    bytes: int
    free_bytes: int  # inside the file of SQLite
    tables: Sequence[TableSize]


async def measure_database(connection: AsyncConnection) -> DatabaseSize:
    """Measure the database and its tables."""
    if is_sqlite(connection):
        rows = await connection.execute(_ROWS_SQLITE)
        tables = [TableSize(name=row.name, rows=int(row.rows)) for row in rows]
        page = await _get_pragma(connection, "page_size")
        free = await _get_pragma(connection, "freelist_count")
        return DatabaseSize(
            bytes=page * await _get_pragma(connection, "page_count"), free_bytes=page * free, tables=tables
        )
    rows = await connection.execute(_SIZES_POSTGRES, {"names": _TABLES})
    tables = [TableSize(name=row.name, rows=int(row.rows), bytes=int(row.bytes)) for row in rows]
    size = (await connection.execute(_SIZE_POSTGRES)).scalar_one()
    return DatabaseSize(bytes=int(size), free_bytes=0, tables=tables)


async def _get_pragma(connection: AsyncConnection, name: str) -> int:
    return int((await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one())
