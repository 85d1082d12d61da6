"""The data directory, and the lock that gives it to one process while SQLite is in use.

Its files are readable by this user only, because they hold addresses, variables and webhook secrets in clear.
"""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from notifier.errors import ConfigurationError, DataDirectoryLockedError


def create(directory: Path) -> None:
    """Create a directory and its missing parents, for this user only. Raises `ConfigurationError`."""
    try:
        make_private(directory)
    except OSError as error:
        text = fault(directory) or f"the directory {directory} cannot be created: {reason(error)}; {ADVICE}"
        raise ConfigurationError(text) from error


def make_private(directory: Path) -> None:
    """Create a directory and its missing parents, for this user only."""
    for missing in reversed([directory, *directory.parents]):
        missing.mkdir(mode=0o700, exist_ok=True)


def find_exposed(directory: Path, database: Path | None) -> list[Path]:
    """Find the directories and files of Notifier that other users may read or enter."""
    files = [directory / name for name in ("demo-key", "lock")]
    if database is not None:
        files += [database.with_name(database.name + end) for end in ("", "-wal", "-shm", "-journal")]
    journals = directory / "journal"
    paths = [directory, journals, *files, *journals.glob("*.journal")]
    return [path for path in paths if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]


def fault(directory: Path) -> str | None:
    """Find out why this process could not create or write a directory. None: it could. Creates nothing."""
    existing = directory.absolute()
    while not os.access(existing, os.F_OK) and existing != existing.parent:
        existing = existing.parent
    if not stat.S_ISDIR(existing.stat().st_mode):
        return f"the directory {directory} cannot be created: {existing} is a file; {ADVICE}"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"the directory {directory} cannot be written: permission denied at {existing}; {ADVICE}"
    return None


def reason(error: OSError) -> str:
    """Describe an error of the operating system without the file's name."""
    return (error.strerror or type(error).__name__).lower()


ADVICE = "choose another (NOTIFIER_DATA_DIR, or --data-dir of the demo), or let this user write there"


@contextmanager
def owned(directory: Path) -> Iterator[Path]:
    """Lock the data directory until the block ends. The kernel releases the lock if this process dies."""
    create(directory)
    lock = FileLock(directory / "lock", timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout as error:
        raise DataDirectoryLockedError(
            f"another process owns {directory}: use its API, or stop the server first"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"the directory {directory} cannot be written: {reason(error)}; {ADVICE}") from error
    try:
        yield directory
    finally:
        lock.release()


def keep_secret(path: Path, value: str) -> None:
    """Write a file atomically, readable by this user only."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value + "\n")
    temporary.replace(path)
