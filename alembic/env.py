"""Run migrations on the connection that the caller hands in, or, for `alembic` itself, on the configured database."""

import asyncio
from typing import Literal

from sqlalchemy import JSON, Connection
from sqlmodel.sql.sqltypes import AutoString

from alembic import context
from notifier.db.engine import Database
from notifier.db.table_base import UtcDateTime
from notifier.db.tables import Table
from notifier.settings import Settings


def plain_type(kind: str, value: object, _context: object) -> str | Literal[False]:
    """Write column types in the library's own words: a migration must not change when the package does."""
    if kind == "type" and isinstance(value, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(value, AutoString):
        return f"sa.String(length={value.length})"
    if kind == "type" and isinstance(value, JSON):
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    return False


def run(connection: Connection) -> None:
    """Migrate inside the caller's transaction."""
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        render_item=plain_type,
        transactional_ddl=True,
    )
    context.run_migrations()


async def run_alone() -> None:
    """Migrate the database named in the environment."""
    database = Database(Settings().effective_database_url)
    try:
        async with database.rebuild() as connection:
            await connection.run_sync(run)
    finally:
        await database.close()


handed_in = context.config.attributes.get("connection")
if handed_in is not None:
    run(handed_in)
else:
    asyncio.run(run_alone())
