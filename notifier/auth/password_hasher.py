"""Hashes passwords with argon2id (RFC 9106), in threads, at most two at once in a process.

Each hash takes 64 MiB and about a tenth of a second, so strangers who try passwords could otherwise use up the host.
"""

import asyncio
import unicodedata
from collections.abc import Callable
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from notifier.errors import NotifierError

MAX_PARALLEL_HASHES = 2
MAX_WAITING_HASHES = 20
"""More requests than this wait no longer: they are refused."""
MIN_PASSWORD_LENGTH, MAX_PASSWORD_LENGTH = 12, 256
MIN_DIFFERENT_CHARACTERS = 5
Result = TypeVar("Result")


class TooManySignInsError(NotifierError):
    """Too many people sign in at this moment; try again in a few seconds."""

    retry_after = 5  # seconds


class WeakPasswordError(NotifierError):
    """The password is too easy to guess."""


class PasswordHasher:
    """Computes and compares hashes of passwords. One for the process; `hasher` has other costs in tests."""

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        # Half of RFC 9106's lanes, because a process hashes two passwords at once.
        self._hasher = hasher or argon2.PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=2)
        self._slots = asyncio.Semaphore(MAX_PARALLEL_HASHES)
        self._waiting = 0
        self._nobody: str | None = None

    async def hash_password(self, password: str) -> str:
        """Hash a new password. Raises `TooManySignInsError`."""
        return await self._run(lambda: self._hasher.hash(_normalise_password(password)))

    async def verify_password(self, password_hash: str | None, password: str) -> bool:
        """Whether the password has this hash. Raises `TooManySignInsError`.

        Without a hash it computes one as well, so that nobody can tell from the time whether a person exists.
        """
        if self._nobody is None:
            self._nobody = await self._run(lambda: self._hasher.hash("nobody has this password"))
        stored = password_hash or self._nobody

        def verify() -> bool:
            try:
                return self._hasher.verify(stored, _normalise_password(password))
            except (VerificationError, InvalidHashError):
                return False

        return await self._run(verify) and password_hash is not None

    async def _run(self, compute: Callable[[], Result]) -> Result:
        if self._waiting >= MAX_WAITING_HASHES:
            raise TooManySignInsError
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        # A cancelled request leaves its thread running, so the thread's end, not the request's, frees the slot.
        task = asyncio.ensure_future(asyncio.to_thread(compute))
        task.add_done_callback(lambda _: self._slots.release())
        return await asyncio.shield(task)


def check_password(password: str, email: str, name: str) -> None:
    """Check a new password. Raises `WeakPasswordError`, which says what to change."""
    if len(password) < MIN_PASSWORD_LENGTH:
        raise WeakPasswordError(f"The password has {len(password)} characters. Use at least {MIN_PASSWORD_LENGTH}.")
    if len(password) > MAX_PASSWORD_LENGTH:
        raise WeakPasswordError(f"The password is too long. Use at most {MAX_PASSWORD_LENGTH} characters.")
    if len(set(password)) < MIN_DIFFERENT_CHARACTERS:
        raise WeakPasswordError("The password repeats the same few characters. Use several words instead.")
    if password.casefold() in {email.casefold(), name.casefold()}:
        raise WeakPasswordError("The password is your own name or address. Use several words instead.")


def _normalise_password(password: str) -> bytes:
    """Normalise a password to bytes: keyboards compose the same letter differently (NIST SP 800-63B §3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode(errors="replace")
