"""The base of all tables, and column types that are the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Column, ColumnCollection, DateTime, Dialect, Enum, MetaData, String, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time. Naive values are refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC. SQLite stores no time zone, so it is dropped there."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime: {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return an aware UTC time."""
        if value is None or value.tzinfo is UTC:
            return value
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def format_sqlite_time(value: datetime) -> str:
    """Format a time as `UtcDateTime` stores it in SQLite: UTC, fixed width, so that text order is time order."""
    return value.astimezone(UTC).isoformat(" ", "microseconds")[:26]


def build_address_type() -> Any:
    """Build the type of an address: ordered by its bytes in both databases, so that an index finds its beginning.

    Columns that are compared with each other must both have it, because an index serves one collation.
    """
    return String(320).with_variant(String(320, collation="C"), "postgresql")


def build_json_type() -> Any:
    """Build a JSON type, which is JSONB on PostgreSQL."""
    return JSON().with_variant(JSONB(), "postgresql")


def build_enum_type(values: type[StrEnum], name: str) -> Any:
    """Build a text type that takes only the values of an enumeration, by a CHECK named `name`."""
    return Enum(
        values,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=24,
        values_callable=lambda members: [member.value for member in members],
    )


class Table(SQLModel):
    """Base of all tables. Tables are never API schemas, because SQLModel does not validate them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def get_columns(model: type[Table]) -> "ColumnCollection[str, Column[Any]]":
    """Get a table's columns for SQL statements. The attributes of the class have Python's types, not SQL's."""
    return model.__table__.c  # type: ignore[attr-defined,no-any-return]
