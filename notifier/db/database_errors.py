"""Errors of the database libraries: what they mean, how they are explained, and whether writes still work.

Explanations are one sentence: what happened, and what to do. They never repeat the message of a library or a server,
because it may hold secrets.
"""

import asyncio
import re
import socket
import sqlite3
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from notifier.db.database_url import DatabaseAddress, PostgresAddress, SqliteAddress
from notifier.errors import DatabaseUnavailableError, LockTimeoutError

UPGRADE_ADVICE = "run `notifier db upgrade`"
LOCK_NOT_AVAILABLE = "55P03"  # SQLSTATE
# SQLSTATE classes of a server that is away, going away, full, or asks to try again (PostgreSQL appendix A).
_UNAVAILABLE = re.compile(r"^(08|53|57P|58|40001|40P01|57014|25006|25P03)")
DATABASE_ERRORS = (
    DBAPIError,
    TimeoutError,
    OSError,
    PoolTimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""Errors that may mean that the database is out of reach."""
_TRANSIENT = re.compile("08(?!P01)|53|57|58|40")
"""Classes of SQLSTATE (PostgreSQL, appendix A) that may go away by themselves."""
_WRONG_HOST = 62
"""OpenSSL's code for a certificate of another host."""
READ_ONLY = "25006"  # SQLSTATE
FULL_DISK = "its disk is full: free some space"
READ_ONLY_DATABASE = "it is read-only: let it take writes, or point NOTIFIER_DATABASE_URL to the server that does"
FAULTY_DISK = "its disk reports errors: see the system's log"
_WRITE_FAULTS = {"53100": FULL_DISK, READ_ONLY: READ_ONLY_DATABASE, "58030": FAULTY_DISK}  # by SQLSTATE
# Primary result codes (sqlite.org/rescode.html); the extended ones have the same low byte.
_SQLITE_WRITE_FAULTS = {
    sqlite3.SQLITE_FULL: FULL_DISK,
    sqlite3.SQLITE_READONLY: READ_ONLY_DATABASE,
    sqlite3.SQLITE_IOERR: FAULTY_DISK,
}


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
    """Convert one of the `DATABASE_ERRORS`. An error that the statement itself has caused is returned as it is."""
    if getattr(getattr(error, "orig", None), "sqlstate", None) == LOCK_NOT_AVAILABLE:
        return LockTimeoutError()
    reason = explain_database_error(error, address) if address is not None else None
    if reason is None and isinstance(error, DBAPIError) and not _is_unavailable(error):
        return error
    return DatabaseUnavailableError(reason, may_pass=_is_transient(error))


def _is_unavailable(error: DBAPIError) -> bool:
    """True if the same statement may succeed once the database is reachable again."""
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return bool(_UNAVAILABLE.match(state))
    return error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))


def _is_transient(error: BaseException) -> bool:
    """True if an error may go away by itself: a server that is away, starting, busy or full."""
    for cause in _causes(error):
        if isinstance(cause, asyncpg.PostgresError):
            return bool(_TRANSIENT.match(cause.sqlstate or ""))
        if isinstance(cause, (ssl.SSLError, socket.gaierror, asyncpg.ClientConfigurationError, sqlite3.DatabaseError)):
            return isinstance(cause, sqlite3.OperationalError)
        if isinstance(cause, ConnectionError) and "SSL" in str(cause):
            return False
    return True


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and the errors that libraries have wrapped into it."""
    while error is not None:
        if isinstance(error, DBAPIError) and error.orig is not None:
            error = error.orig
        yield error
        error = error.__cause__


class WriteFaults:
    """The reason why nothing can be written, from the last failed write until a successful probe."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.probing = asyncio.Lock()

    def note(self, error: BaseException) -> None:
        """Record the reason if an error says that nothing can be written."""
        for cause in _causes(error):
            code = getattr(cause, "sqlite_errorcode", None)
            reason = _SQLITE_WRITE_FAULTS.get(code & 0xFF) if code is not None else None
            reason = reason or _WRITE_FAULTS.get(getattr(cause, "sqlstate", None) or "")
            if reason is not None:
                self.reason = reason
                return


def is_read_only(error: BaseException | None) -> bool:
    """True if this connection leads to a server that takes no writes."""
    return getattr(error, "sqlstate", None) == READ_ONLY


def explain_database_error(error: BaseException, address: DatabaseAddress) -> str | None:
    """Explain an error to an operator. None: the error is about a statement, not about the database."""
    for cause in _causes(error):
        if isinstance(address, SqliteAddress):
            reason = _explain_sqlite(cause, address) if isinstance(cause, sqlite3.Error) else None
        elif isinstance(cause, asyncpg.PostgresError):
            reason = _explain_response(cause, address)
        else:
            reason = _explain_connecting(cause, address)
        if reason is not None:
            return reason
    return None


# -- SQLite ------------------------------------------------------------------------------------------


def _explain_sqlite(error: sqlite3.Error, address: SqliteAddress) -> str | None:
    code, place = getattr(error, "sqlite_errorname", None) or "", address.place
    if code.startswith("SQLITE_CANTOPEN") and address.is_missing:
        return f"{place} does not exist yet: {UPGRADE_ADVICE}"
    for start, reason in (
        ("SQLITE_CANTOPEN", f"{place} cannot be opened: check who may read and write it and its directory"),
        ("SQLITE_READONLY", f"{place} cannot be written: check who may write it and its directory"),
        ("SQLITE_PERM", f"{place} cannot be opened: check who may read and write it"),
        ("SQLITE_NOTADB", f"{place} is no SQLite database: choose another file or directory"),
        ("SQLITE_CORRUPT", f"{place} is damaged: stop Notifier and restore a backup"),
        ("SQLITE_FULL", f"there is no room for {place}: make room on its disk"),
        ("SQLITE_IOERR", f"the disk of {place} cannot be read or written"),
        ("SQLITE_BUSY", f"{place} is locked by another process: try again, or stop that process"),
    ):
        if code.startswith(start):
            return reason
    if str(error).startswith(("no such table", "no such column")) or "has no column named" in str(error):
        return f"{place} does not have the schema that this release needs: {UPGRADE_ADVICE}"
    return None


# -- errors that PostgreSQL sends --------------------------------------------------------------------


def _explain_response(error: asyncpg.PostgresError, address: PostgresAddress) -> str | None:
    state: str = error.sqlstate or ""
    explain_state = _ANSWERS.get(state)
    if explain_state is None and state.startswith("28"):
        explain_state = _explain_login
    return explain_state(str(error), address) if explain_state else None


def _explain_login(message: str, address: PostgresAddress) -> str:
    if "pg_hba.conf" in message:
        return (
            f"{address.place} refuses {_user(address)} from this host (pg_hba.conf): allow it there,"
            f" or try sslmode=require in {address.variable}"
        )
    if "password" in message:
        return f"{address.place} refuses the password of {_user(address)}: correct it in {address.variable}"
    return (
        f"{address.place} does not let in {_user(address)}: there is no such role, or it may not log in;"
        f" correct {address.variable} or create the role"
    )


def _explain_start(message: str, address: PostgresAddress) -> str | None:
    parameter = re.search(r"unsupported startup parameter[^:]*: ?(\w+)", message)
    if parameter is None:
        return None
    return (
        f"the pooler at {address.place} refuses the start-up parameter {parameter[1]}: add it to"
        f" ignore_startup_parameters there, or take it out of {address.variable}"
    )


def _explain_options(message: str, address: PostgresAddress) -> str | None:
    words = ("configuration parameter", "value for parameter", "command-line argument")
    if not any(word in message for word in words):
        return None
    return f"{address.place} refuses the options in {address.variable}: correct them, or take them out"


def _explain_no_database(_message: str, address: PostgresAddress) -> str:
    name = f"database {address.database!r}" if address.database else "database of that name"
    return f"{address.place} has no {name}: create it, or correct {address.variable}"


def _explain_rights(_message: str, address: PostgresAddress) -> str:
    return (
        f"{_user(address)} lacks rights in the database at {address.place}: GRANT them"
        " (CREATE on its schema for `db upgrade`), or use the role that owns the tables"
    )


_ANSWERS: dict[str, Callable[[str, PostgresAddress], str | None]] = {
    "08P01": _explain_start,
    "25006": lambda _, address: (
        f"{address.place} is read-only: name the primary server in {address.variable},"
        " or add target_session_attrs=read-write where it names several"
    ),
    "3D000": _explain_no_database,
    "3F000": lambda _, address: (
        f"{_user(address)} may use no schema of search_path at {address.place}: create one, GRANT it USAGE and CREATE,"
        f" or correct the options in {address.variable}"
    ),
    "22023": _explain_options,
    "42601": _explain_options,
    "42704": _explain_options,
    "42501": _explain_rights,
    "42P01": lambda _, address: f"{address.place} does not have the schema that this release needs: {UPGRADE_ADVICE}",
    "42703": lambda _, address: f"{address.place} does not have the schema that this release needs: {UPGRADE_ADVICE}",
    "42P07": lambda _, address: (
        f"the database at {address.place} has tables of another program: give Notifier a database of its own"
    ),
    "53300": lambda _, address: (
        f"{address.place} has no connection left for us: raise max_connections or the role's limit there,"
        " or lower NOTIFIER_DATABASE_CONNECTIONS"
    ),
    "57P03": lambda _, address: f"{address.place} is starting or stopping: try again in a moment",
}
"""By SQLSTATE (PostgreSQL, appendix A)."""


def _user(address: PostgresAddress) -> str:
    return f"the role {address.user!r}" if address.user else "this system's user (the URL names no role)"


# -- errors while connecting -------------------------------------------------------------------------


_UNTRUSTED = "{variable} wants the server's certificate checked: add sslrootcert=FILE, or sslrootcert=system"
_REFUSED = "{place} refuses connections: check that it is running, and host and port in {variable}"
_CONNECT_ERRORS: tuple[tuple[type[BaseException], str, str], ...] = (
    # (class of the error, words in its message, explanation)
    (socket.gaierror, "", "the host of {place} cannot be found: check its name in {variable}"),
    (TimeoutError, "", "{place} does not answer in time: check host, port, firewall, and how busy the server is"),
    (ConnectionRefusedError, "", _REFUSED),
    (FileNotFoundError, "", _REFUSED),
    (OSError, "Connect call failed", _REFUSED),
    (ConnectionError, "SSL", "{place} does not offer TLS, which sslmode demands: turn it on, or write sslmode=prefer"),
    (OSError, "", "{place} cannot be reached: check host, port and network"),
    (asyncpg.TargetServerAttributeNotMatched, "", "{place} is not what target_session_attrs in {variable} demands"),
    (asyncpg.ClientConfigurationError, "root certificate", _UNTRUSTED),
    (asyncpg.ClientConfigurationError, "", "{variable} has parameters that do not go together"),
)


def _explain_connecting(error: BaseException, address: PostgresAddress) -> str | None:
    if isinstance(error, ssl.SSLError):
        return _explain_tls(error, address)
    for kind, words, reason in _CONNECT_ERRORS:
        if isinstance(error, kind) and words in str(error):
            return reason.format(place=address.place, variable=address.variable)
    return None


def _explain_tls(error: ssl.SSLError, address: PostgresAddress) -> str:
    place, variable = address.place, address.variable
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _WRONG_HOST or "mismatch" in error.verify_message.lower():
            return f"the certificate of {place} is for another host: write that host's name in {variable}"
        return (
            f"the certificate of {place} is not trusted ({error.verify_message}): write the file of its authority"
            f" as sslrootcert in {variable}"
        )
    reason = (error.reason or "no reason given").replace("_", " ").lower()
    return f"TLS with {place} fails ({reason}): check sslmode and the files of certificates in {variable}"
