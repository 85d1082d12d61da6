"""Column types that are the same on SQLite and PostgreSQL: aware UTC times, enumerations, JSON."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Enum, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB


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
