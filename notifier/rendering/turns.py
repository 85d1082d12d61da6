"""Whose turn it is with the child of those who edit: one thing at a time for each, and a rest after what was too much.

Somebody whose templates are refused again and again, or take long, uses a tenth of a processor and no more, however
often and from however many places they try. Whoever makes a mistake is told at once, and is ready before they have
mended it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

FREE_SECONDS = 0.25
"""That something may take without a rest after it, unless it is refused."""
REST = 9
"""Seconds of rest for each second that was too much."""
LONGEST_REST = 15.0
KEPT = 1000
"""People of whom it is known when they may go on; those whose rest is over are forgotten beyond that."""


@dataclass(eq=False)
class _Seat:
    """One person's."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    ready_at: float = 0.0  # monotonic
    wanted: int = 0  # by so many, the one who has it too


@dataclass(eq=False)
class Turn:
    """What somebody does, while it is their turn."""

    began: float | None = None  # monotonic; None: nothing has been done yet
    refused: bool = False

    def begin(self) -> None:
        """From now on others are kept from the child."""
        self.began = time.monotonic()

    def rest(self, now: float) -> float:
        """Seconds until the next of theirs may begin, if this one ends now."""
        seconds = now - self.began if self.began is not None else 0.0
        too_much = seconds if self.refused else seconds - FREE_SECONDS
        return min(max(too_much, 0.0) * REST, LONGEST_REST)


class Turns:
    """Hands out turns, to each in the order in which they came."""

    def __init__(self) -> None:
        self._seats: dict[str, _Seat] = {}

    @asynccontextmanager
    async def of(self, who: str) -> AsyncIterator[Turn]:
        """Wait until it is theirs; what the turn says at the end decides when the next one is."""
        if len(self._seats) >= KEPT:
            self._forget()
        seat = self._seats.setdefault(who, _Seat())
        seat.wanted += 1
        try:
            async with seat.lock:
                await asyncio.sleep(seat.ready_at - time.monotonic())
                turn = Turn()
                try:
                    yield turn
                finally:
                    now = time.monotonic()
                    seat.ready_at = now + turn.rest(now)
        finally:
            seat.wanted -= 1

    def _forget(self) -> None:
        now = time.monotonic()
        self._seats = {who: seat for who, seat in self._seats.items() if seat.wanted or seat.ready_at > now}
