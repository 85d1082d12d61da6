"""Finds out from failed writes whether, and why, nothing can be written to a database."""

import asyncio
import sqlite3
from typing import Any

READ_ONLY = "25006"  # SQLSTATE
FULL_DISK = "its disk is full: free some space"
READ_ONLY_DATABASE = "it is read-only: let it take writes, or point NOTIFIER_DATABASE_URL to the server that does"
FAULTY_DISK = "its disk reports errors: see the system's log"
_BY_SQLSTATE = {"53100": FULL_DISK, READ_ONLY: READ_ONLY_DATABASE, "58030": FAULTY_DISK}
# Primary result codes (sqlite.org/rescode.html); the extended ones have the same low byte.
_BY_RESULT_CODE = {
    sqlite3.SQLITE_FULL: FULL_DISK,
    sqlite3.SQLITE_READONLY: READ_ONLY_DATABASE,
    sqlite3.SQLITE_IOERR: FAULTY_DISK,
}


class WriteFaults:
    """The reason why nothing can be written, from the last failed write until a successful probe."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.probing = asyncio.Lock()

    def note(self, error: BaseException | None) -> None:
        """Record the reason if an error says that nothing can be written."""
        while error is not None:
            reason = _reason(error) or _reason(getattr(error, "orig", None))
            if reason is not None:
                self.reason = reason
                return
            error = error.__cause__


def is_read_only(error: BaseException | None) -> bool:
    """True if this connection leads to a server that takes no writes."""
    return getattr(error, "sqlstate", None) == READ_ONLY


def _reason(error: Any) -> str | None:
    code = getattr(error, "sqlite_errorcode", None)
    reason = _BY_RESULT_CODE.get(code & 0xFF) if code is not None else None
    return reason or _BY_SQLSTATE.get(getattr(error, "sqlstate", None) or "")
