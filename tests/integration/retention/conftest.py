"""Fixtures for the purge: a database, rows of any age, and the rules of the defaults."""

from datetime import UTC, datetime

import pytest
from support.aged_rows import AgedRows

from notifier.db.engine import Database
from notifier.retention.retention_policy import RetentionPolicy
from notifier.runtime.process_parts import ProcessParts


@pytest.fixture
def now() -> datetime:
    """The time of the purge, which is that of the database for what the database itself checks."""
    return datetime.now(UTC)


@pytest.fixture
def database(parts: ProcessParts) -> Database:
    """The database of the test."""
    return parts.database


@pytest.fixture
def rows(parts: ProcessParts) -> AgedRows:
    """Writes rows of any age."""
    return AgedRows(parts.database)


@pytest.fixture
def policy(parts: ProcessParts) -> RetentionPolicy:
    """The rules of the defaults."""
    return RetentionPolicy.from_settings(parts.settings.retention, parts.settings.api)
