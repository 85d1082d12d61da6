"""Deadlines of the API for tests on a slow host."""

from collections.abc import Iterator

import pytest

from notifier.api import dependencies
from notifier.db import engine

DEADLINE_FILES = frozenset({"test_change.py", "test_change_races.py", "test_database_away.py", "test_database_busy.py"})
"""Tests of what happens when a change takes too long."""


@pytest.fixture(autouse=True)
def _patient_changes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give a change ten times as long as in production, because a test host may be slow, and its disk too."""
    seconds, read_seconds = dependencies.MAX_CHANGE_SECONDS, engine.READ_TIMEOUT
    if request.path.name not in DEADLINE_FILES:
        dependencies.MAX_CHANGE_SECONDS = 10 * seconds
    if request.path.name == "test_copies.py":  # twice it was too slow here
        engine.READ_TIMEOUT = 10 * read_seconds
    yield
    dependencies.MAX_CHANGE_SECONDS, engine.READ_TIMEOUT = seconds, read_seconds
