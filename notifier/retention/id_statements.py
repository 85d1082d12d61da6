"""Statements about rows with given ids, in the SQL of both databases; the ids are one parameter."""

# ruff: noqa: S608 - SQL of our own constants; values are always bound

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import DialectStatement, build_statement, is_sqlite
from notifier.db.table_base import UtcDateTime
from notifier.db.tables import Notification, get_columns

UUID_TYPE = get_columns(Notification).id.type
TIME_TYPE = UtcDateTime()
AMONG_IDS = {False: "= ANY(CAST(:ids AS uuid[]))", True: "IN (SELECT value FROM json_each(:ids))"}
"""The condition that a column is one of `:ids`, by whether it is SQLite."""


def bind_ids(connection: AsyncConnection, ids: Sequence[UUID]) -> Any:
    """Return the value of `:ids`."""
    return json.dumps([id_.hex for id_ in ids]) if is_sqlite(connection) else list(ids)


def build_id_statement(sql: str, columns: Mapping[str, Any] | None = None) -> DialectStatement:
    """Build a statement for both databases; `{among}` in it is the condition that a column is one of `:ids`."""
    return build_statement(sql.format(among=AMONG_IDS[False]), sql.format(among=AMONG_IDS[True]), columns=columns or {})


async def read_rows(
    connection: AsyncConnection, statement: DialectStatement, ids: Sequence[UUID]
) -> list[dict[str, Any]]:
    """Run a statement with `:ids`, and return its rows."""
    values = {"ids": bind_ids(connection, ids)}
    rows = await connection.execute(statement.for_connection(connection), values)
    return [dict(row) for row in rows.mappings()]


async def delete_rows(connection: AsyncConnection, table: str, ids: Sequence[UUID], *, column: str = "id") -> int:
    """Delete the rows whose `column` is one of these ids; return how many. Table and column are our own constants."""
    if not ids:
        return 0
    statement = _build_deletion(table, column).for_connection(connection)
    return int((await connection.execute(statement, {"ids": bind_ids(connection, ids)})).rowcount)


async def delete_children(
    connection: AsyncConnection, table: str, ids: Sequence[UUID], *, column: str, most: int
) -> int:
    """Delete at most `most` of the rows that belong to these ids; return how many."""
    statement = _build_child_deletion(table, column).for_connection(connection)
    values = {"ids": bind_ids(connection, ids), "most": most}
    return int((await connection.execute(statement, values)).rowcount)


@cache
def _build_deletion(table: str, column: str) -> DialectStatement:
    return build_id_statement(f"DELETE FROM {table} WHERE {column} {{among}}")


@cache
def _build_child_deletion(table: str, column: str) -> DialectStatement:
    # An array, so that PostgreSQL deletes by the primary key whatever it believes about the number of rows.
    chosen = f"SELECT id FROM {table} WHERE {column} {{among}} LIMIT :most"
    return build_statement(
        f"DELETE FROM {table} WHERE id = ANY(ARRAY({chosen.format(among=AMONG_IDS[False])}))",
        f"DELETE FROM {table} WHERE id IN ({chosen.format(among=AMONG_IDS[True])})",
    )
