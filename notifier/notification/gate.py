"""The permits for the body of one mail: one is requested on each connection on which the mail is tried."""

import asyncio
import time
from datetime import datetime

from notifier.clock import Clock
from notifier.outbox.handler import Claimed, Desk, Permit


class Gate:
    """The permits that were requested for one mail, and when the relay first heard of it."""

    def __init__(self, entry: Claimed, desk: Desk, clock: Clock) -> None:
        self.entry = entry
        self._desk = desk
        self._clock = clock
        # The mail may have waited before the relay heard of it. None: the relay never did.
        self._said_at: datetime | None = None
        self._said = 0.0  # the same, in seconds of `time.perf_counter`
        self._permits: list[asyncio.Future[Permit | None]] = []

    def ask(self) -> asyncio.Future[Permit | None]:
        """Request the permit for the body, at the moment when the relay hears of the mail."""
        if self._said_at is None:
            self._said_at, self._said = self._clock.now(), time.perf_counter()
        permit = self._desk.mark(self.entry)
        self._permits.append(permit)
        return permit

    @property
    def said_at(self) -> datetime:
        """When the relay first heard of the mail, or now."""
        return self._said_at or self._clock.now()

    def seconds(self) -> float:
        """Seconds since then."""
        return time.perf_counter() - self._said if self._said_at is not None else 0.0

    @property
    def was_open(self) -> bool:
        """True if a body was permitted."""
        return any(map(_granted, self._permits))


def _granted(permit: asyncio.Future[Permit | None]) -> bool:
    return permit.done() and not permit.cancelled() and permit.exception() is None and permit.result() is not None
