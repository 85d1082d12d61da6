"""docs/producer.md is executed: its ways and the Django app create one table, and its Python code works as it says."""

from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session
from support.document_blocks import ROOT, list_blocks
from support.producer.caller_database import CallerDatabase
from support.producer.scripted_api import ScriptedApi

from notifier.client import producer
from notifier.settings import MIN_IDEMPOTENCY_DAYS

TABLE, MIGRATION = 0, 1
_COLUMNS = {
    "sqlite": ("SELECT * FROM pragma_table_info('notifier_producer')",),
    "postgresql": (
        """SELECT a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
             pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum)
           FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
           WHERE a.attrelid = 'notifier_producer'::regclass AND a.attnum > 0 ORDER BY a.attnum""",
        "SELECT indexdef FROM pg_indexes WHERE tablename = 'notifier_producer' ORDER BY indexname",
        """SELECT conname, contype::text FROM pg_constraint
           WHERE conrelid = 'notifier_producer'::regclass AND contype <> 'n' ORDER BY conname""",
    ),
}


def _blocks(language: str) -> list[str]:
    return [block.text for block in list_blocks("docs/producer.md", language)]


def _run(*codes: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for code in codes:
        exec(compile(code, "producer.md", "exec"), names)
    return names


def _by_metadata(connection: Connection) -> None:
    _run(_blocks("python")[TABLE])["metadata"].create_all(connection)


def _by_its_own_metadata(connection: Connection) -> None:
    producer.metadata.create_all(connection)


def _by_migration(connection: Connection) -> None:
    with Operations.context(MigrationContext.configure(connection)):
        migration = _run(_blocks("python")[MIGRATION])
        migration["upgrade"]()
        migration["downgrade"]()
        migration["upgrade"]()


def _by_sql(connection: Connection) -> None:
    assert len(_blocks("sql")) == 2
    script = _blocks("sql")[("postgresql", "sqlite").index(connection.dialect.name)]
    for statement in script.split(";\n"):
        if statement.strip():
            connection.execute(text(statement))


def _by_django(connection: Connection) -> None:
    migration = import_module("notifier.client.django.migrations.0001_producer")
    for statement in (migration.TABLES[connection.dialect.name], migration.INDEX):
        connection.execute(text(statement))


def _shape(connection: Connection) -> list[Any]:
    """Return everything that the database reports about the table."""
    name = connection.dialect.name
    shape: list[Any] = [tuple(row) for query in _COLUMNS[name] for row in connection.execute(text(query))]
    if name == "sqlite":
        index = "SELECT sql FROM sqlite_master WHERE name = 'notifier_producer_due'"
        shape.append(connection.execute(text(index)).scalar_one())
        shape = [_plain(row) for row in shape]
    return shape


def _plain(row: Any) -> Any:
    """Remove brackets and quotes from a default; SQLite treats (CURRENT_TIMESTAMP) and CURRENT_TIMESTAMP alike."""
    return tuple(value.strip("()'") if isinstance(value, str) else value for value in row) if row else row


async def test_every_way_makes_the_same_table(caller_url: str) -> None:
    """The caller's metadata, ours, the migrations and the SQL create the same columns, defaults and indexes."""
    shapes = []
    for way in (_by_metadata, _by_its_own_metadata, _by_migration, _by_sql, _by_django):
        caller = CallerDatabase(caller_url)
        await caller.do(way)
        shapes.append(await caller.do(_shape))
        await caller.do(lambda connection: connection.execute(text("DROP TABLE notifier_producer")))
        await caller.close()
    assert len(shapes[0]) >= 9
    assert shapes[1:] == [shapes[0]] * 4


async def test_the_python_of_the_page(
    caller: CallerDatabase, api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python code of the page takes an order, forwards it and reads its status."""
    names = _run(*(code for number, code in enumerate(_blocks("python")) if number != MIGRATION))
    api.errors["bob@example.com"] = "invalid_address"

    def take(connection: Connection) -> None:
        session = Session(connection)
        names["take_order"](session, "Ada", "ada@example.com")
        names["take_order"](session, "Bob", "bob@example.com")

    def look(connection: Connection) -> Any:
        return names["look"](Session(connection))

    await caller.do(take)
    assert await caller.do(look) == (2, 0)
    monkeypatch.setenv("NOTIFIER_URL", api.url)
    monkeypatch.setenv("NOTIFIER_API_KEY", "ntf_live_x")
    async with names["forwarding"](caller.engine) as forwarder:
        assert isinstance(forwarder, producer.Forwarder)
        await api.wait_for(1)
    assert await caller.do(look) == (0, 1)
    assert api.requests[0][0]["metadata"] == {"order": "FG-20418"}
    assert len(api.accepted) == 1


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    """The numbers in the text are the defaults in the code."""
    page = " ".join((ROOT / "docs" / "producer.md").read_text().split())
    limits = producer.ForwarderLimits()
    assert f"at most {limits.max_rows:,} rows and {limits.max_bytes >> 20} MiB" in page
    assert f"under a lease ({limits.lease.seconds} s)" in page
    assert f"… {limits.max_pause.seconds} s" in page
    assert limits.key_lifetime.days == 6
    assert limits.key_lifetime < timedelta(days=MIN_IDEMPOTENCY_DAYS)  # otherwise a repeated request could send twice
