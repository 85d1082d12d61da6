"""Slots of editors at the preview process: one request of each person at a time, and a wait after many refusals.

Whoever makes a mistake hears of it at once, and may try again at once. A person whose templates are refused again and
again is slowed down, however many connections they use; their colleagues are not.
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
"""CPU seconds that a person may waste on refused work before they wait: eight endless loops."""
SHARE = 0.01
"""The part of a processor that they have from then on: one endless loop every 25 seconds."""
FREE_SECONDS = 0.25
"""CPU seconds of accepted work that are not charged."""
PATIENCE_SECONDS = 10.0
"""How long a request waits before it is refused."""


class TooMuchRefusedError(NotifierError):
    """This person's earlier requests have used up their time at the preview process; nothing was tried."""

    def __init__(self, seconds: float) -> None:
        self.retry_after = math.ceil(seconds)
        super().__init__(
            f"what you tried before was refused too often, or took too long: try again in {self.retry_after} s"
        )


@dataclass(eq=False)
class Turn:
    """One person's slot, while they hold it."""

    worked: Callable[[], float]  # CPU seconds of the child process so far
    began: float | None = None  # their number at the start; None: nothing has been done yet
    refused: bool = False

    def begin(self, worked: Callable[[], float] | None = None) -> None:
        """Start to count the time of the child process, or of another one, whose CPU seconds `worked` returns."""
        self.worked = worked or self.worked
        self.began = self.worked()

    def burnt(self) -> float:
        """Return the CPU seconds that were wasted, if the work ends now."""
        seconds = self.worked() - self.began if self.began is not None else 0.0
        return seconds if self.refused else max(0.0, seconds - FREE_SECONDS)


@dataclass(eq=False)
class _Seat:
    """The requests of one person."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    requests: int = 0  # waiting, and the one that holds the slot


class Turns:
    """Gives slots, to each person in the order of their requests."""

    def __init__(
        self,
        clock: Clock,
        worked: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._worked = worked
        self._sleep = sleep
        self._pace = Pace(clock, burst=BURST_SECONDS, share=SHARE)
        self._queues: dict[str, _Seat] = {}

    @property
    def remembered(self) -> int:
        """The number of people with a request under way."""
        return len(self._queues)

    def suspects(self, who: str) -> bool:
        """Return True while their wasted seconds have not grown back yet."""
        return self._pace.suspects(who)

    @asynccontextmanager
    async def of(self, who: str) -> AsyncIterator[Turn]:
        """Wait for the person's slot. Raises `TooMuchRefusedError` after the longest wait."""
        queue = self._queues.setdefault(who, _Seat())
        queue.requests += 1
        try:
            async with queue.lock:
                wait = self._pace.wait(who)
                await self._sleep(min(wait, PATIENCE_SECONDS))
                if wait > PATIENCE_SECONDS:
                    raise TooMuchRefusedError(wait - PATIENCE_SECONDS)
                slot = Turn(self._worked)
                try:
                    yield slot
                finally:
                    self._pace.burnt(who, slot.burnt())
        finally:
            queue.requests -= 1
            if not queue.requests:
                del self._queues[who]
