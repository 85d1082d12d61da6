"""Deadlines of the program for tests on a slow host."""

from collections.abc import Iterator

import pytest

from notifier.db import direct_connections, engine, shared_commit, timed_change

DATABASE_DEADLINES = (
    (timed_change, "MAX_CHANGE_SECONDS"),
    (engine, "READ_TIMEOUT"),
    (engine, "POOL_TIMEOUT"),
    (direct_connections, "WAIT_SECONDS"),
    (shared_commit, "MAX_SUBMIT_SECONDS"),
    (shared_commit, "TRANSACTION_TIMEOUT_SECONDS"),
)
DEADLINE_FILES = frozenset(
    {"test_change.py", "test_change_races.py", "test_database_away.py", "test_database_busy.py", "test_direct.py"}
)
"""Tests of what happens when the database takes too long."""


@pytest.fixture(autouse=True)
def _long_deadlines(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give the database ten times as long as in production, because a test host may be slow, and its disk too."""
    if request.path.name in DEADLINE_FILES:
        yield
        return
    before = [(module, name, getattr(module, name)) for module, name in DATABASE_DEADLINES]
    for module, name, seconds in before:
        setattr(module, name, 10 * seconds)
    yield
    for module, name, seconds in before:
        setattr(module, name, seconds)
