"""Migrates the database, with the migrations that are part of the wheel.

An upgrade holds a lock, so that several processes that start together run it once.
"""

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from alembic import command
from notifier.db.database_errors import UPGRADE_ADVICE
from notifier.db.engine import Database
from notifier.db.tables import Table
from notifier.errors import ConfigurationError
from notifier.settings import find_shipped_directory

UPGRADE_LOCK = 0x6E6F7469  # "noti": the key of PostgreSQL's advisory lock


def build_alembic_config(connection: Connection | None = None) -> Config:
    """Build Alembic's configuration without a file."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(find_shipped_directory("alembic")))
    config.set_main_option("path_separator", "os")
    return config


def get_head_revision() -> str | None:
    """Get the newest revision that this release knows."""
    return ScriptDirectory.from_config(build_alembic_config()).get_current_head()


def find_schema_fault(revision: str | None) -> str | None:
    """Describe what is wrong with a database at this revision, and what to do. None: nothing."""
    newest = get_head_revision()
    if revision == newest:
        return None
    if revision is None or _is_known(revision):
        return f"at {revision or 'nothing'}, needs {newest}: {UPGRADE_ADVICE}"
    return (
        f"at {revision}, which this release does not know (it needs {newest}): install the release that made it and"
        f" {UPGRADE_ADVICE}, or give Notifier a database of its own"
    )


def _is_known(revision: str) -> bool:
    scripts = ScriptDirectory.from_config(build_alembic_config())
    return revision in {script.revision for script in scripts.walk_revisions()}


class UnknownRevisionError(ConfigurationError):
    """The database's schema is of a newer release, or of another program."""


async def upgrade_schema(database: Database, revision: str = "head") -> None:
    """Migrate to `revision`. Safe to call from several processes. Raises `UnknownRevisionError`."""
    database.create_file()
    async with database.rebuild() as connection:
        if not database.is_sqlite:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        before = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
        if before is not None and not _is_known(before):
            raise UnknownRevisionError(f"the database is {find_schema_fault(before)}")
        await connection.run_sync(lambda sync: command.upgrade(build_alembic_config(sync), revision))


async def downgrade_schema(database: Database, revision: str) -> None:
    """Revert migrations down to `revision`; "base" is before the first."""
    async with database.rebuild() as connection:
        await connection.run_sync(lambda sync: command.downgrade(build_alembic_config(sync), revision))


async def get_current_revision(database: Database) -> str | None:
    """Get the revision of the database. None: it is empty."""
    async with database.inspect() as connection:
        return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


async def find_schema_differences(database: Database) -> list[object]:
    """List what Alembic would still change: nothing if migrations and models agree."""
    async with database.rebuild() as connection:  # a comparison takes longer than the timeout of a read
        return await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts={"compare_type": True}), Table.metadata)
        )
