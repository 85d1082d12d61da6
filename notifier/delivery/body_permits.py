"""Where one mail stands with the queue while a relay is told of it: the permits asked for, and since when."""

import asyncio
import time
from datetime import datetime

from notifier.clock import Clock
from notifier.outbox.handler import BodyPermit, ClaimedEntry, WorkerContext


class BodyPermits:
    """The queue's permits for one mail, one for each connection on which it is tried, and since when it is tried."""

    def __init__(self, entry: ClaimedEntry, desk: WorkerContext, clock: Clock) -> None:
        self.entry = entry
        self._desk = desk
        self._clock = clock
        # When the relay was first told of the mail, which may have waited for its turn before; None: it was never told.
        self._started_at: datetime | None = None
        self._started = 0.0  # the same in seconds of `time.perf_counter`
        self._permits: list[asyncio.Future[BodyPermit | None]] = []

    def request(self) -> asyncio.Future[BodyPermit | None]:
        """The relay is told of the mail now: ask whether its body may follow."""
        if self._started_at is None:
            self._started_at, self._started = self._clock.now(), time.perf_counter()
        permit = self._desk.mark(self.entry)
        self._permits.append(permit)
        return permit

    @property
    def started_at(self) -> datetime:
        """When the relay was first told of the mail, or now."""
        return self._started_at or self._clock.now()

    def elapsed_seconds(self) -> float:
        """How long that is ago."""
        return time.perf_counter() - self._started if self._started_at is not None else 0.0

    @property
    def was_granted(self) -> bool:
        """True if a body was permitted."""
        return any(map(_is_granted, self._permits))


def _is_granted(permit: asyncio.Future[BodyPermit | None]) -> bool:
    return permit.done() and not permit.cancelled() and permit.exception() is None and permit.result() is not None
