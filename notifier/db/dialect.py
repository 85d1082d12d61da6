"""Where the SQL of the two databases differs: statements, inserts with ON CONFLICT, times, and rows as JSON."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import msgspec
from sqlalchemy import DateTime, TextClause, bindparam, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from notifier.db.direct_connections import StatementConnection
from notifier.db.table_base import format_sqlite_time


class DialectStatement(NamedTuple):
    """One statement in the SQL of both databases."""

    postgres: TextClause
    sqlite: TextClause

    def for_connection(self, connection: StatementConnection) -> TextClause:
        """Return the text for the database behind this connection."""
        return self.sqlite if is_sqlite(connection) else self.postgres


def is_sqlite(connection: StatementConnection) -> bool:
    """Return True on SQLite, False on PostgreSQL."""
    return bool(connection.dialect.name == "sqlite")


def bind_now(connection: StatementConnection, now: datetime | None) -> tuple[dict[str, Any], datetime]:
    """Return the parameter `:now`, and the time as Python knows it.

    PostgreSQL uses its own clock unless `now` is given; SQLite has no clock but ours.
    """
    time = now or datetime.now(UTC)
    return {"now": format_sqlite_time(time) if is_sqlite(connection) else now}, time


def build_statement(
    postgres: str,
    sqlite: str,
    *,
    parameters: Mapping[str, TypeEngine[Any]] = MappingProxyType({}),
    columns: Mapping[str, TypeEngine[Any]] = MappingProxyType({}),
) -> DialectStatement:
    """Build a statement from its two texts.

    `parameters` are the types of what is bound, where the database cannot tell; `columns` those of the result, which
    SQLite returns as text. `:now` on PostgreSQL is a time with its zone.
    """
    bound = [bindparam(name, type_=type_) for name, type_ in parameters.items()]
    now = [bindparam("now", type_=DateTime(timezone=True))] if ":now" in postgres else []
    in_sqlite = text(sqlite).bindparams(*bound)
    return DialectStatement(
        text(postgres).bindparams(*bound, *now),
        cast("TextClause", in_sqlite.columns(**columns)) if columns else in_sqlite,
    )


def build_insert(connection: StatementConnection, table: type[Any]) -> "sqlite.Insert | postgresql.Insert":
    """Build an insert into the table that can take an ON CONFLICT clause."""
    return sqlite.insert(table) if is_sqlite(connection) else postgresql.insert(table)


async def confirm_read(connection: StatementConnection) -> None:
    """Wait, at the commit, until what was read before is on the synchronous standby, if there is one.

    PostgreSQL shows rows whose own commit never waited to its end, because its session was ended. A transaction that
    has written something to the WAL waits, and then for everything before it.
    """
    if not is_sqlite(connection):
        await connection.execute(_WRITE_TO_WAL)


async def insert_if_absent(connection: StatementConnection, table: type[Any], row: dict[str, Any]) -> bool:
    """Insert the row unless one with the same unique key exists; return whether it was inserted."""
    statement = build_insert(connection, table).values(row).on_conflict_do_nothing()
    inserted = await connection.execute(statement.returning(*inspect(table).primary_key))
    return inserted.first() is not None


_WRITE_TO_WAL = text("SELECT CAST(pg_logical_emit_message(true, 'notifier', '') AS text)")
_encode = msgspec.json.Encoder(uuid_format="hex").encode


def build_rows_source(types: Mapping[str, str], *, sqlite: bool) -> str:
    """Build the WITH clause that reads the rows `r` from the parameter `:rows`. `types`: column → PostgreSQL type."""
    if sqlite:
        values = ", ".join(f"value ->> '{name}' AS {name}" for name in types)
        return f"WITH r AS (SELECT {values} FROM json_each(:rows))"  # noqa: S608 - the names are our own columns
    names = ", ".join(map(" ".join, types.items()))
    return f"WITH r AS MATERIALIZED (SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r({names}))"  # noqa: S608


def build_id_condition(column: str, *, sqlite: bool) -> str:
    """Build the condition that a column equals the `id` of a row, so that PostgreSQL always uses an index."""
    return f"{column} = r.id" if sqlite else f"{column} = r.id AND {column} = ANY(ARRAY(SELECT r.id FROM r))"  # noqa: S608


def encode_rows(rows: Sequence[Mapping[str, Any]], *, sqlite: bool) -> str:
    """Encode the value of `:rows`. Bytes become base64, which only PostgreSQL can decode."""
    if sqlite:
        rows = [{name: _sqlite_value(value) for name, value in row.items()} for row in rows]
    return _encode(rows).decode()


def _sqlite_value(value: Any) -> Any:
    return format_sqlite_time(value) if isinstance(value, datetime) else value
