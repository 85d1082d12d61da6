"""The data directory, and the lock that makes one process its owner while SQLite is in use.

What is made in it is for this user's eyes only: addresses, variables and webhook secrets stand there in clear.
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
    """Make a directory, and those above it, if they are missing. Raises `ConfigurationError`."""
    try:
        create_private_directory(directory)
    except OSError as error:
        text = (
            find_directory_fault(directory)
            or f"the directory {directory} cannot be made: {describe_os_error(error)}; {DIRECTORY_ADVICE}"
        )
        raise ConfigurationError(text) from error


def create_private_directory(directory: Path) -> None:
    """Make a directory, and those above it that are missing, closed to other users."""
    for missing in reversed([directory, *directory.parents]):
        missing.mkdir(mode=0o700, exist_ok=True)


def find_exposed_files(directory: Path, database: Path | None) -> list[Path]:
    """What Notifier keeps in the directory, and SQLite's files, as far as other users may read or enter it."""
    files = [directory / name for name in ("demo-key", "lock")]
    if database is not None:
        files += [database.with_name(database.name + end) for end in ("", "-wal", "-shm", "-journal")]
    journals = directory / "journal"
    kept = [directory, journals, *files, *journals.glob("*.journal")]
    return [path for path in kept if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]


def find_directory_fault(directory: Path) -> str | None:
    """Why this process cannot write into a directory, or could not make it; None if all is well. Makes nothing."""
    place = directory.absolute()
    while not os.access(place, os.F_OK) and place != place.parent:
        place = place.parent
    if not stat.S_ISDIR(place.stat().st_mode):
        return f"the directory {directory} cannot be made: {place} is a file; {DIRECTORY_ADVICE}"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"the directory {directory} cannot be written: permission denied at {place}; {DIRECTORY_ADVICE}"
    return None


def describe_os_error(error: OSError) -> str:
    """Why something cannot be done with a file, without the file's name."""
    return (error.strerror or type(error).__name__).lower()


DIRECTORY_ADVICE = "choose another (NOTIFIER_DATA_DIR, or --data-dir of the demo), or let this user write there"


@contextmanager
def lock_directory(directory: Path) -> Iterator[Path]:
    """Own the data directory until the block ends; the kernel gives the lock back if this process dies."""
    create_directory(directory)
    lock = FileLock(directory / "lock", timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout as error:
        raise DataDirectoryLockedError(
            f"another process owns {directory}: use its API, or stop the server first"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"the directory {directory} cannot be written: {describe_os_error(error)}; {DIRECTORY_ADVICE}"
        ) from error
    try:
        yield directory
    finally:
        lock.release()


def write_secret_file(path: Path, value: str) -> None:
    """Write a secret for this user's eyes only, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value + "\n")
    temporary.replace(path)
