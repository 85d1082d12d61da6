"""Longer deadlines of the program's database for tests, because a test host may be slow, and its disk too."""

from collections.abc import Iterator
from contextlib import contextmanager

from notifier.db import connection_pool, direct_connections, engine, shared_commit, timed_change
from notifier.lookup import standby_reader

FACTOR = 10
DATABASE_DEADLINES = (
    (timed_change, "MAX_CHANGE_SECONDS"),
    (engine, "READ_TIMEOUT"),
    (connection_pool, "POOL_TIMEOUT"),
    (direct_connections, "WAIT_SECONDS"),
    (standby_reader, "CHECK_TIMEOUT"),
    (shared_commit, "MAX_SUBMIT_SECONDS"),
    (shared_commit, "TRANSACTION_TIMEOUT_SECONDS"),
)


@contextmanager
def use_long_deadlines() -> Iterator[None]:
    """Give the database ten times as long as in production, in this process, until the block ends."""
    before = [(module, name, getattr(module, name)) for module, name in DATABASE_DEADLINES]
    for module, name, seconds in before:
        setattr(module, name, FACTOR * seconds)
    yield
    for module, name, seconds in before:
        setattr(module, name, seconds)
