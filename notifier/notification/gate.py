"""Where one mail stands with the queue while a relay is told of it: the permits asked for, and since when."""

import asyncio
import time

from notifier.clock import Clock
from notifier.outbox.handler import Claimed, Desk, Permit


class Gate:
    """The queue's permits for one mail, one for each connection on which it is tried, and since when it is tried."""

    def __init__(self, entry: Claimed, desk: Desk, clock: Clock) -> None:
        self.entry = entry
        self.said_at = clock.now()  # when the relay was first told of it: not before, it may have waited for its turn
        self._started = time.perf_counter()
        self._desk = desk
        self._clock = clock
        self._permits: list[asyncio.Future[Permit | None]] = []

    def ask(self) -> asyncio.Future[Permit | None]:
        """The relay is told of the mail now: ask whether its body may follow."""
        if not self._permits:
            self.said_at, self._started = self._clock.now(), time.perf_counter()
        permit = self._desk.mark(self.entry)
        self._permits.append(permit)
        return permit

    def seconds(self) -> float:
        """How long it has taken until now."""
        return time.perf_counter() - self._started

    @property
    def was_open(self) -> bool:
        """True if a body was permitted."""
        return any(map(_granted, self._permits))


def _granted(permit: asyncio.Future[Permit | None]) -> bool:
    return permit.done() and not permit.cancelled() and permit.exception() is None and permit.result() is not None
