"""INSERT statements whose conflict clause is written differently for SQLite and PostgreSQL."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import literal
from sqlalchemy.dialects import postgresql, sqlite

from notifier.db.direct import Connection
from notifier.db.tables import Table


def build_insert(connection: Connection, model: type[Table]) -> "sqlite.Insert | postgresql.Insert":
    """An INSERT of the database in use, for `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return sqlite.insert(model) if connection.dialect.name == "sqlite" else postgresql.insert(model)


async def insert_if_absent(connection: Connection, model: type[Table], values: Mapping[str, Any]) -> bool:
    """Insert a row, or do nothing if a unique constraint forbids it. True if the row was inserted."""
    statement = build_insert(connection, model).values(values).on_conflict_do_nothing().returning(literal(1))
    return (await connection.execute(statement)).first() is not None
