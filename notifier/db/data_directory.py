"""The data directory, and the lock that gives it to one process while SQLite is in use.

Only this user can read its files, because they hold addresses, variables and webhook secrets unencrypted.
"""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from notifier.errors import ConfigurationError, DataDirectoryLockedError


def create_directory(directory: Path) -> None:
    """Create a directory and its missing parents, for this user only. Raises `ConfigurationError`."""
    try:
        create_private_directory(directory)
    except OSError as error:
        text = (
            find_directory_fault(directory)
            or f"the directory {directory} cannot be created: {describe_os_error(error)}; {DIRECTORY_ADVICE}"
        )
        raise ConfigurationError(text) from error


def create_private_directory(directory: Path) -> None:
    """Create a directory and its missing parents, for this user only."""
    for missing in reversed([directory, *directory.parents]):
        missing.mkdir(mode=0o700, exist_ok=True)


def find_exposed_files(directory: Path, database: Path | None) -> list[Path]:
    """Find the directories and files of Notifier that other users may read or enter."""
    files = [directory / name for name in ("demo-key", "demo-admin-key", "lock")]
    if database is not None:
        files += [database.with_name(database.name + end) for end in ("", "-wal", "-shm", "-journal")]
    journals = directory / "journal"
    paths = [directory, journals, *files, *journals.glob("*.journal")]
    return [path for path in paths if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]


def find_directory_fault(directory: Path) -> str | None:
    """Explain why this process cannot create or write a directory. None: it can. Creates nothing."""
    existing = directory.absolute()
    while not os.access(existing, os.F_OK) and existing != existing.parent:
        existing = existing.parent
    if not stat.S_ISDIR(existing.stat().st_mode):
        return f"the directory {directory} cannot be created: {existing} is a file; {DIRECTORY_ADVICE}"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"the directory {directory} cannot be written: permission denied at {existing}; {DIRECTORY_ADVICE}"
    return None


def describe_os_error(error: OSError) -> str:
    """Describe an error of the operating system without the file's name."""
    return (error.strerror or type(error).__name__).lower()


DIRECTORY_ADVICE = "choose another (NOTIFIER_DATA_DIR, or --data-dir of the demo), or let this user write there"


@contextmanager
def lock_directory(directory: Path) -> Iterator[Path]:
    """Lock the data directory until the block ends. The kernel releases the lock if this process dies."""
    create_directory(directory)
    lock = FileLock(directory / "lock", timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout as error:
        raise DataDirectoryLockedError(directory) from error
    except OSError as error:
        raise ConfigurationError(
            f"the directory {directory} cannot be written: {describe_os_error(error)}; {DIRECTORY_ADVICE}"
        ) from error
    try:
        yield directory
    finally:
        lock.release()


def write_secret_file(path: Path, value: str) -> None:
    """Write a file atomically, readable by this user only."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value + "\n")
    temporary.replace(path)
