"""The permits for the body of one mail: one is requested on each connection on which the mail is tried."""

import asyncio
import time
from datetime import datetime

from notifier.clock import Clock
from notifier.outbox.entry_handler import BodyPermit, ClaimedEntry, WorkerContext


class BodyPermits:
    """The permits that were requested for one mail, and when the relay first heard of it."""

    def __init__(self, entry: ClaimedEntry, worker: WorkerContext, clock: Clock) -> None:
        self.entry = entry
        self._desk = worker
        self._clock = clock
        # The mail may have waited before the relay heard of it. None: the relay never did.
        self._started_at: datetime | None = None
        self._started = 0.0  # the same, in seconds of `time.perf_counter`
        self._permits: list[asyncio.Future[BodyPermit | None]] = []

    def request(self) -> asyncio.Future[BodyPermit | None]:
        """Request the permit for the body, at the moment when the relay hears of the mail."""
        if self._started_at is None:
            self._started_at, self._started = self._clock.now(), time.perf_counter()
        permit = self._desk.mark(self.entry)
        self._permits.append(permit)
        return permit

    @property
    def started_at(self) -> datetime:
        """When the relay first heard of the mail, or now."""
        return self._started_at or self._clock.now()

    def elapsed_seconds(self) -> float:
        """Seconds since then."""
        return time.perf_counter() - self._started if self._started_at is not None else 0.0

    @property
    def was_granted(self) -> bool:
        """True if a body was permitted."""
        return any(map(_is_granted, self._permits))


def _is_granted(permit: asyncio.Future[BodyPermit | None]) -> bool:
    return permit.done() and not permit.cancelled() and permit.exception() is None and permit.result() is not None
