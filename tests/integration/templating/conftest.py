"""Fixtures with template files that a test may change."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
from support.folder_and_database import TwoSides
from support.seeded_installation import Keys

from notifier.db.engine import Database
from notifier.runtime import wiring

GOOD = {
    "hello/template.toml": 'name = "Hello"\noptional = ["note"]\n',
    "hello/sample.json": '{"name": "Ada", "note": "x"}',
    "hello/subject.txt": "Hello {{ name }}",
    "hello/body.html": '{% extends "_layouts/base.html" %}{% block content %}<p>{{ name }}</p>{% endblock %}',
    "_layouts/base.html": '{% import "_layouts/parts.html" as ui %}<html>{% block content %}{% endblock %}</html>',
    "_layouts/parts.html": "{% macro button() %}{% endmacro %}",
    "_layouts/unused.html": "never read",
}
"""A template `hello` and its layouts: path below the root → text."""

Write = Callable[[Mapping[str, str | bytes | None]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write `hello` below a directory of the test, with changes; None leaves a file out."""

    def written(changes: Mapping[str, str | bytes | None]) -> Path:
        root = tmp_path / "templates"
        for name, content in {**GOOD, **changes}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return written


@pytest.fixture
async def side(parts: wiring.ProcessParts, write: Write) -> TwoSides:
    """A folder with `hello`, which was just published, on each of the two databases."""
    return await _published(parts.database, write)


@pytest.fixture
async def sqlite_side(sqlite_database: tuple[str, Keys], write: Write) -> AsyncIterator[TwoSides]:
    """The same folder, on SQLite only."""
    database = Database(sqlite_database[0])
    yield await _published(database, write)
    await database.close()


async def _published(database: Database, write: Write) -> TwoSides:
    made = TwoSides(database=database, write=write)
    await made.push(overwrite=True).run(write({}), ["hello"])  # the seed has other layouts
    return made
