"""Whose turn it is with the child of those who edit: one thing at a time for each, and a wait after much that failed.

Whoever makes a mistake is told at once, and may try the next thing at once. Somebody whose templates are refused again
and again is slowed down, however often and from however many places they try; their colleagues are not.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from notifier.clock import Clock
from notifier.errors import NotifierError
from notifier.throttle.pace import Pace

BURST_SECONDS = 2.0
"""Of a processor, that somebody may spend on what is refused before they wait: eight loops that never end."""
SHARE = 0.01
"""Of a processor, that they have from then on: a loop that never ends every 25 seconds."""
FREE_SECONDS = 0.25
"""Of a processor, that something may take and count for nothing, unless it is refused."""
PATIENCE_SECONDS = 10.0
"""That a request waits, before it is told how long it would have to."""


class TooMuchRefusedError(NotifierError):
    """What this person has tried before has used up their time with the child; nothing was tried."""

    def __init__(self, seconds: float) -> None:
        self.retry_after = math.ceil(seconds)
        super().__init__(
            f"what you tried before was refused too often, or took too long: try again in {self.retry_after} s"
        )


@dataclass(eq=False)
class Turn:
    """What somebody does, while it is their turn."""

    worked: Callable[[], float]  # processor seconds of the child, so far
    began: float | None = None  # how many it were then; None: nothing has been done yet
    refused: bool = False

    def begin(self, worked: Callable[[], float] | None = None) -> None:
        """From now on others are kept from the child, or from another one, whose work `worked` tells."""
        self.worked = worked or self.worked
        self.began = self.worked()

    def burnt(self) -> float:
        """Processor seconds that were for nothing, if it ends now."""
        seconds = self.worked() - self.began if self.began is not None else 0.0
        return seconds if self.refused else max(0.0, seconds - FREE_SECONDS)


@dataclass(eq=False)
class _Seat:
    """One person's, while anything of theirs is under way."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: int = 0  # by so many, the one who has it too


class Turns:
    """Hands out turns, to each in the order in which they came."""

    def __init__(
        self,
        clock: Clock,
        worked: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._worked = worked
        self._sleep = sleep
        self._pace = Pace(clock, burst=BURST_SECONDS, share=SHARE)
        self._seats: dict[str, _Seat] = {}

    @property
    def remembered(self) -> int:
        """How many people have something under way."""
        return len(self._seats)

    def suspects(self, who: str) -> bool:
        """True if they have burnt something that has not grown back yet."""
        return self._pace.suspects(who)

    @asynccontextmanager
    async def of(self, who: str) -> AsyncIterator[Turn]:
        """Wait until it is theirs. Raises `TooMuchRefusedError`, not sooner than that could be waited for."""
        seat = self._seats.setdefault(who, _Seat())
        seat.wanted += 1
        try:
            async with seat.lock:
                wait = self._pace.wait(who)
                await self._sleep(min(wait, PATIENCE_SECONDS))
                if wait > PATIENCE_SECONDS:
                    raise TooMuchRefusedError(wait - PATIENCE_SECONDS)
                turn = Turn(self._worked)
                try:
                    yield turn
                finally:
                    self._pace.burnt(who, turn.burnt())
        finally:
            seat.wanted -= 1
            if not seat.wanted:
                del self._seats[who]
