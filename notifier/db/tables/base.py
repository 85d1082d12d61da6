"""The base of all tables, with a naming convention so that migrations can name what they drop."""

from typing import Any

from sqlalchemy import Column, ColumnCollection, MetaData
from sqlmodel import SQLModel


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
