"""The data directory, and the lock that makes one process its owner while SQLite is in use."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from notifier.errors import DataDirectoryLockedError


@contextmanager
def owned(directory: Path) -> Iterator[Path]:
    """Own the data directory until the block ends; the kernel gives the lock back if this process dies."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise DataDirectoryLockedError(
            f"another process owns {directory}: use its API, or stop the server first"
        ) from error
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
