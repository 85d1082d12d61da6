"""Deadlines of the program for tests on a slow host."""

from collections.abc import Iterator

import pytest
from support.long_deadlines import use_long_deadlines

DEADLINE_FILES = frozenset(
    {"test_change.py", "test_change_races.py", "test_database_away.py", "test_database_busy.py", "test_direct.py"}
)
"""Tests of what happens when the database takes too long."""


@pytest.fixture(autouse=True)
def _long_deadlines(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give the database longer than in production, except where a test is about its deadlines."""
    if request.path.name in DEADLINE_FILES:
        yield
        return
    with use_long_deadlines():
        yield
