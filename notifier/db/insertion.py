"""Insert statements with ON CONFLICT, which SQLAlchemy offers only for each database by itself."""

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql, sqlite

from notifier.db.direct_connections import StatementConnection


def build_insert(connection: StatementConnection, table: type[Any]) -> "sqlite.Insert | postgresql.Insert":
    """Build an insert into the table that can take an ON CONFLICT clause."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


async def insert_if_absent(connection: StatementConnection, table: type[Any], row: dict[str, Any]) -> bool:
    """Insert the row unless one with the same unique key exists; return whether it was inserted."""
    statement = build_insert(connection, table).values(row).on_conflict_do_nothing()
    inserted = await connection.execute(statement.returning(*inspect(table).primary_key))
    return inserted.first() is not None
