"""Records every statement that a `Database` executes, with or without SQLAlchemy."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
from sqlalchemy import event

from notifier.db.engine import Database

Statement = tuple[str, tuple[Any, ...]]
"""Its text and its parameters in order; for many rows, those of the first."""


@contextmanager
def record_statements(database: Database) -> Iterator[list[Statement]]:
    """Record the statements that are executed in the block by the connections of one `Database`."""
    statements: list[Statement] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:  # noqa: FBT001 - SQLAlchemy's own signature
        statements.append((statement, tuple(parameters[0] if many else parameters)))

    def note_direct(query: asyncpg.connection.LoggedQuery) -> None:
        if "pg_catalog" not in query.query:  # the driver's own question about a type
            statements.append((query.query, tuple(query.args)))

    def listen(connection: Any, _record: Any = None) -> None:
        connection.driver_connection.add_query_logger(note_direct)

    pooled = database._writer.sync_engine
    event.listen(pooled, "before_cursor_execute", note)
    if not database.is_sqlite:
        for connection in database._direct._idle:
            connection.driver.add_query_logger(note_direct)
        event.listen(database._direct._engine.sync_engine, "connect", listen)
    try:
        yield statements
    finally:
        event.remove(pooled, "before_cursor_execute", note)
        if not database.is_sqlite:
            event.remove(database._direct._engine.sync_engine, "connect", listen)
