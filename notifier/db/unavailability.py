"""Converts the errors of all libraries about an unreachable database into `DatabaseUnavailableError`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from notifier.db.database_url import DatabaseAddress
from notifier.db.error_explanations import explain_database_error, is_transient_error
from notifier.errors import DatabaseUnavailableError, LockTimeoutError

LOCK_NOT_AVAILABLE = "55P03"  # SQLSTATE
# SQLSTATE classes of a server that is away, going away, full, or asks to try again (PostgreSQL appendix A).
_UNAVAILABLE = re.compile(r"^(08|53|57P|58|40001|40P01|57014|25006)")
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
DATABASE_ERRORS = (DBAPIError, TimeoutError, OSError, PoolTimeoutError, *DRIVER_ERRORS)
"""Errors that may mean that the database is out of reach."""


@contextmanager
def convert_database_errors(address: DatabaseAddress | None = None) -> Iterator[None]:
    """Convert errors of the block about an unreachable or overloaded database into `DatabaseUnavailableError`."""
    try:
        yield
    except DATABASE_ERRORS as error:
        converted = convert_database_error(error, address)
        if converted is error:
            raise
        raise converted from error


def convert_database_error(error: Exception, address: DatabaseAddress | None = None) -> Exception:
    """Convert one of the `NOTICED` errors. An error that the statement itself has caused is returned as it is."""
    orig = getattr(error, "orig", None)
    if getattr(orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
        return LockTimeoutError()
    reason = explain_database_error(error, address) if address is not None else None
    if reason is None and isinstance(error, DBAPIError) and not is_unavailable_error(error):
        return error
    return DatabaseUnavailableError(reason, may_pass=is_transient_error(error))


def is_unavailable_error(error: DBAPIError) -> bool:
    """True if the same statement may succeed once the database is reachable again."""
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return bool(_UNAVAILABLE.match(state))
    return error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))
