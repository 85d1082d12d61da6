"""Creates the table `notifier_producer`, as `notifier.client.producer.define_table` defines it."""

from typing import Any, ClassVar

from django.db import migrations

INDEX = "CREATE INDEX notifier_producer_due ON notifier_producer (due_at, id) WHERE refused_at IS NULL"
TABLES = {
    "postgresql": """
CREATE TABLE notifier_producer (
  id uuid PRIMARY KEY,
  body text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
  due_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
  tries integer NOT NULL DEFAULT 0,
  first_tried_at timestamptz,
  refused_at timestamptz,
  problem text
)""",
    "sqlite": """
CREATE TABLE notifier_producer (
  id CHAR(32) NOT NULL PRIMARY KEY,
  body TEXT NOT NULL,
  created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  due_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  tries INTEGER NOT NULL DEFAULT 0,
  first_tried_at DATETIME,
  refused_at DATETIME,
  problem TEXT
)""",
}


def _create_table(_apps: Any, schema_editor: Any) -> None:
    """Create table and index, on a database that a forwarder can use; on another one nothing."""
    if (table := TABLES.get(schema_editor.connection.vendor)) is not None:
        schema_editor.execute(table)
        schema_editor.execute(INDEX)


def _drop_table(_apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor in TABLES:
        schema_editor.execute("DROP TABLE notifier_producer")


class Migration(migrations.Migration):
    """The producer table."""

    initial = True
    dependencies: ClassVar[list[Any]] = []
    operations: ClassVar[list[Any]] = [migrations.RunPython(_create_table, _drop_table)]
