"""Migrations build the schema of the models, on both databases, also in parallel."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Connection, inspect, text
from support import postgres_cluster

from notifier.db import migrations
from notifier.db.engine import Database
from notifier.db.table_base import format_sqlite_time
from notifier.db.tables import Table

ONE = "1" * 32
TIME = datetime(2026, 1, 1, tzinfo=UTC)
AT = format_sqlite_time(TIME)
OLD_ROWS = (
    (
        "INSERT INTO notification (id, service_id, template_version_id, recipient, from_address, envelope_from,"
        " priority, status, message_id, message_date, send_at, expires_at, created_at, updated_at, created_by) VALUES"
        " (:one, :one, :one, 'A@b.org', 'a@b.org', 'a@b.org', 'normal', 'failed', 'm', :at, :at, :at, :at, :at, 'key')"
    ),
    "INSERT INTO notification_content (notification_id, variables, headers) VALUES (:one, '{}', '{}')",
    (
        "INSERT INTO attempt (id, notification_id, entry_id, lease_no, number, phase, outcome, reply, started_at)"
        " VALUES (:one, :one, :one, 1, 1, 'body', 'rejected', 'x', :at)"
    ),
    "INSERT INTO event (id, notification_id, at, kind, actor, detail) VALUES (:one, :one, :at, 'retried', 'key', '')",
)


@pytest.fixture(params=["sqlite", "postgresql"])
async def empty(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database without anything in it."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'empty.sqlite3'}")
        yield database
        await database.close()
        return
    server: postgres_cluster.PostgresServer = request.getfixturevalue("postgres_server")
    name = postgres_cluster.make_database_name()
    await asyncio.to_thread(postgres_cluster.execute_statements, server.url("postgres"), f"CREATE DATABASE {name}")
    database = Database(server.url(name))
    yield database
    await database.close()
    await asyncio.to_thread(
        postgres_cluster.execute_statements, server.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)"
    )


async def test_upgrade_from_empty_equals_the_models(empty: Database) -> None:
    """After an upgrade autogenerate finds nothing to change."""
    await migrations.upgrade_schema(empty)
    assert await migrations.get_current_revision(empty) == migrations.get_head_revision()
    assert await migrations.find_schema_differences(empty) == []


async def test_the_closed_sets_agree(empty: Database) -> None:
    """Every CHECK of the models is in the database under the same name, with the same values."""
    await migrations.upgrade_schema(empty)
    async with empty.read() as connection:
        constraints = await connection.run_sync(_checks)
    expected = {
        (table.name, str(check.name)): check
        for table in Table.metadata.tables.values()
        for check in table.constraints
        if isinstance(check, CheckConstraint)
    }
    assert expected
    assert set(constraints) == set(expected)
    for (table, name), sql in constraints.items():
        column = Table.metadata.tables[table].c[name.removeprefix(f"ck_{table}_")]
        values = [member.value for member in column.type.enum_class]  # type: ignore[attr-defined]
        assert all(f"'{value}'" in sql for value in values), (table, name)
        assert sql.count("'") == 2 * len(values) or "::" in sql


def _checks(connection: Connection) -> dict[tuple[str, str], str]:
    """The text of each CHECK in the database, by table and name."""
    inspector = inspect(connection)
    return {
        (table, str(check["name"])): str(check["sqltext"])
        for table in inspector.get_table_names()
        for check in inspector.get_check_constraints(table)
    }


async def test_downgrade_and_upgrade_again(empty: Database) -> None:
    """Every migration can be reverted, and leaves nothing."""
    await migrations.upgrade_schema(empty)
    await migrations.downgrade_schema(empty, "base")
    async with empty.read() as connection:
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert tables == ["alembic_version"]
    await migrations.upgrade_schema(empty)
    assert await migrations.find_schema_differences(empty) == []


async def test_a_downgrade_takes_the_triggers_of_the_audit_along(empty: Database) -> None:
    """A downgrade removes table and functions, and a second upgrade creates them again."""
    trigger_count = text(
        "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'"
        if empty.is_sqlite
        else "SELECT count(*) FROM pg_proc WHERE proname LIKE 'audit_entry%'"
    )
    counts = []
    for step in ("head", "0003", "head"):
        if step == "head":
            await migrations.upgrade_schema(empty)
        else:
            await migrations.downgrade_schema(empty, step)
        async with empty.read() as connection:
            counts.append((await connection.execute(trigger_count)).scalar_one())
    assert counts == ([3, 0, 3] if empty.is_sqlite else [1, 0, 1])


async def test_many_upgrades_at_once_run_once(postgres_server: postgres_cluster.PostgresServer) -> None:
    """Processes that start together migrate once, because the upgrade holds an advisory lock."""
    name = postgres_cluster.make_database_name()
    await asyncio.to_thread(
        postgres_cluster.execute_statements, postgres_server.url("postgres"), f"CREATE DATABASE {name}"
    )
    databases = [Database(postgres_server.url(name)) for _ in range(4)]
    await asyncio.gather(*(migrations.upgrade_schema(database) for database in databases))
    async with databases[0].read() as connection:
        versions = (await connection.execute(text("SELECT count(*) FROM alembic_version"))).scalar_one()
    assert versions == 1
    for database in databases:
        await database.close()
    await asyncio.to_thread(
        postgres_cluster.execute_statements, postgres_server.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)"
    )


def test_there_is_one_head() -> None:
    """There is a single newest migration."""
    assert len(ScriptDirectory.from_config(migrations.build_alembic_config()).get_heads()) == 1


async def test_rows_come_through_every_migration(empty: Database) -> None:
    """Up, down to the second release and up again with rows in every old table, those that refer to others too."""
    await migrations.upgrade_schema(empty, "0003")
    async with empty.write() as connection:
        for statement in OLD_ROWS:
            await connection.execute(text(statement), {"one": ONE, "at": AT if empty.is_sqlite else TIME})
    await migrations.upgrade_schema(empty)
    assert await _old_rows(empty) == [("a@b.org", "failed", "transactional", 1, 1, 1)]
    await migrations.downgrade_schema(empty, "0002")
    await migrations.upgrade_schema(empty)
    assert await _old_rows(empty) == [("a@b.org", "failed", "transactional", 1, 1, 1)]


async def test_copies_get_their_content_back(empty: Database) -> None:
    """An earlier release finds the content of a copy only as the copy's own; up again nothing is lost."""
    await migrations.upgrade_schema(empty, "0003")
    async with empty.write() as connection:
        for statement in OLD_ROWS:
            await connection.execute(text(statement), {"one": ONE, "at": AT if empty.is_sqlite else TIME})
    await migrations.upgrade_schema(empty)
    copy = {"id": ":two", "parent_id": ":one", "role": "'bcc'"}
    names = Table.metadata.tables["notification"].columns.keys()
    chosen = ", ".join(copy.get(name, name) for name in names)
    async with empty.write() as connection:
        await connection.execute(
            text(f"INSERT INTO notification ({', '.join(names)}) SELECT {chosen} FROM notification"),
            {"one": ONE, "two": "2" * 32} if empty.is_sqlite else {"one": UUID(ONE), "two": UUID("2" * 32)},
        )
        await connection.execute(text("UPDATE notification_content SET addressed_to = 'a@b.org'"))
    await migrations.downgrade_schema(empty, "0006")
    query = text("SELECT count(*), count(DISTINCT notification_id), min(addressed_to) FROM notification_content")
    async with empty.read() as connection:
        assert tuple((await connection.execute(query)).one()) == (2, 2, "a@b.org")
    await migrations.upgrade_schema(empty)
    assert await migrations.find_schema_differences(empty) == []


async def _old_rows(database: Database) -> list[tuple[object, ...]]:
    counts = ", ".join(
        f"(SELECT count(*) FROM {table} AS o WHERE o.notification_id = n.id)"
        for table in ("notification_content", "attempt", "status_index")
    )
    async with database.read() as connection:
        rows = await connection.execute(text(f"SELECT address_key, status, category, {counts} FROM notification AS n"))
        return [tuple(row) for row in rows]
