"""Where one mail stands with the queue while a relay is told of it: the permits asked for, and since when."""

import asyncio
import time
from datetime import datetime

from notifier.clock import Clock
from notifier.outbox.handler import Claimed, Desk, Permit


class Gate:
    """The queue's permits for one mail, one for each connection on which it is tried, and since when it is tried."""

    def __init__(self, entry: Claimed, desk: Desk, clock: Clock) -> None:
        self.entry = entry
        self._desk = desk
        self._clock = clock
        # When the relay was first told of the mail, which may have waited for its turn before; None: it was never told.
        self._said_at: datetime | None = None
        self._said = 0.0  # the same in seconds of `time.perf_counter`
        self._permits: list[asyncio.Future[Permit | None]] = []

    def ask(self) -> asyncio.Future[Permit | None]:
        """The relay is told of the mail now: ask whether its body may follow."""
        if self._said_at is None:
            self._said_at, self._said = self._clock.now(), time.perf_counter()
        permit = self._desk.mark(self.entry)
        self._permits.append(permit)
        return permit

    @property
    def said_at(self) -> datetime:
        """When the relay was first told of the mail, or now."""
        return self._said_at or self._clock.now()

    def seconds(self) -> float:
        """How long that is ago."""
        return time.perf_counter() - self._said if self._said_at is not None else 0.0

    @property
    def was_open(self) -> bool:
        """True if a body was permitted."""
        return any(map(_granted, self._permits))


def _granted(permit: asyncio.Future[Permit | None]) -> bool:
    return permit.done() and not permit.cancelled() and permit.exception() is None and permit.result() is not None
