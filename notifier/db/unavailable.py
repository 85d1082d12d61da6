"""Converts the errors of all libraries about an unreachable database into `DatabaseUnavailableError`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from notifier.db.reasons import explain, may_pass
from notifier.db.url import Address
from notifier.errors import DatabaseUnavailableError, LockTimeoutError

LOCK_NOT_AVAILABLE = "55P03"  # SQLSTATE
# SQLSTATE classes of a server that is away, going away, full, or asks to try again (PostgreSQL appendix A).
_UNAVAILABLE = re.compile(r"^(08|53|57P|58|40001|40P01|57014|25006)")
DRIVER = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
NOTICED = (DBAPIError, TimeoutError, OSError, PoolTimeoutError, *DRIVER)
"""Errors that may mean that the database is out of reach."""


@contextmanager
def unavailable_as_such(address: Address | None = None) -> Iterator[None]:
    """Convert errors of the block about an unreachable or overloaded database into `DatabaseUnavailableError`."""
    try:
        yield
    except NOTICED as error:
        converted = as_such(error, address)
        if converted is error:
            raise
        raise converted from error


def as_such(error: Exception, address: Address | None = None) -> Exception:
    """Convert one of the `NOTICED` errors. An error that the statement itself has caused is returned as it is."""
    orig = getattr(error, "orig", None)
    if getattr(orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
        return LockTimeoutError()
    reason = explain(error, address) if address is not None else None
    if reason is None and isinstance(error, DBAPIError) and not is_unavailable(error):
        return error
    return DatabaseUnavailableError(reason, may_pass=may_pass(error))


def is_unavailable(error: DBAPIError) -> bool:
    """True if the same statement may succeed once the database is reachable again."""
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return bool(_UNAVAILABLE.match(state))
    return error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))
