"""Statements that exist in the SQL of both databases, and the time as each of them wants it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from sqlalchemy import DateTime, TextClause, bindparam, text
from sqlalchemy.types import TypeEngine

from notifier.db.column_types import format_sqlite_time
from notifier.db.direct_connections import StatementConnection


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
