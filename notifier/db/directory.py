"""The data directory, and the lock that makes one process its owner while SQLite is in use."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from notifier.errors import ConfigurationError, DataDirectoryLockedError


def create(directory: Path) -> None:
    """Make a directory, and those above it, if they are missing. Raises `ConfigurationError`."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        text = fault(directory) or f"the directory {directory} cannot be made: {reason(error)}; {ADVICE}"
        raise ConfigurationError(text) from error


def fault(directory: Path) -> str | None:
    """Why this process cannot write into a directory, or could not make it; None if all is well. Makes nothing."""
    place = directory.absolute()
    while not os.access(place, os.F_OK) and place != place.parent:
        place = place.parent
    if not stat.S_ISDIR(place.stat().st_mode):
        return f"the directory {directory} cannot be made: {place} is a file; {ADVICE}"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"the directory {directory} cannot be written: permission denied at {place}; {ADVICE}"
    return None


def reason(error: OSError) -> str:
    """Why something cannot be done with a file, without the file's name."""
    return (error.strerror or type(error).__name__).lower()


ADVICE = "choose another (NOTIFIER_DATA_DIR, or --data-dir of the demo), or let this user write there"


@contextmanager
def owned(directory: Path) -> Iterator[Path]:
    """Own the data directory until the block ends; the kernel gives the lock back if this process dies."""
    create(directory)
    lock = FileLock(directory / "lock", timeout=0)
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
    """Write a secret for this user's eyes only, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value + "\n")
    temporary.replace(path)
