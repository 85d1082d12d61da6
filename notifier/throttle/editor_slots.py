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
from notifier.throttle.cpu_budget import CpuBudget

BURST_SECONDS = 2.0
"""Of a processor, that somebody may spend on what is refused before they wait: eight loops that never end."""
CPU_SHARE = 0.01
"""Of a processor, that they have from then on: a loop that never ends every 25 seconds."""
FREE_SECONDS = 0.25
"""Of a processor, that something may take and count for nothing, unless it is refused."""
MAX_WAIT_SECONDS = 10.0
"""That a request waits, before it is told how long it would have to."""


class TooMuchRefusedError(NotifierError):
    """What this person has tried before has used up their time with the child; nothing was tried."""

    def __init__(self, seconds: float) -> None:
        self.retry_after = math.ceil(seconds)
        super().__init__(
            f"what you tried before was refused too often, or took too long: try again in {self.retry_after} s"
        )


@dataclass(eq=False)
class EditorSlot:
    """What somebody does, while it is their turn."""

    get_cpu_seconds: Callable[[], float]  # processor seconds of the child, so far
    began: float | None = None  # how many it were then; None: nothing has been done yet
    refused: bool = False

    def start(self, worked: Callable[[], float] | None = None) -> None:
        """From now on others are kept from the child, or from another one, whose work `worked` tells."""
        self.get_cpu_seconds = worked or self.get_cpu_seconds
        self.began = self.get_cpu_seconds()

    def get_wasted_seconds(self) -> float:
        """Processor seconds that were for nothing, if it ends now."""
        seconds = self.get_cpu_seconds() - self.began if self.began is not None else 0.0
        return seconds if self.refused else max(0.0, seconds - FREE_SECONDS)


@dataclass(eq=False)
class _EditorQueue:
    """One person's, while anything of theirs is under way."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: int = 0  # by so many, the one who has it too


class EditorSlots:
    """Hands out turns, to each in the order in which they came."""

    def __init__(
        self,
        clock: Clock,
        worked: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._worked = worked
        self._sleep = sleep
        self._pace = CpuBudget(clock, burst=BURST_SECONDS, share=CPU_SHARE)
        self._seats: dict[str, _EditorQueue] = {}

    @property
    def active_count(self) -> int:
        """How many people have something under way."""
        return len(self._seats)

    def has_debt(self, who: str) -> bool:
        """True if they have burnt something that has not grown back yet."""
        return self._pace.has_debt(who)

    @asynccontextmanager
    async def acquire(self, who: str) -> AsyncIterator[EditorSlot]:
        """Wait until it is theirs. Raises `TooMuchRefusedError`, not sooner than that could be waited for."""
        seat = self._seats.setdefault(who, _EditorQueue())
        seat.wanted += 1
        try:
            async with seat.lock:
                wait = self._pace.get_wait(who)
                await self._sleep(min(wait, MAX_WAIT_SECONDS))
                if wait > MAX_WAIT_SECONDS:
                    raise TooMuchRefusedError(wait - MAX_WAIT_SECONDS)
                turn = EditorSlot(self._worked)
                try:
                    yield turn
                finally:
                    self._pace.charge(who, turn.get_wasted_seconds())
        finally:
            seat.wanted -= 1
            if not seat.wanted:
                del self._seats[who]
