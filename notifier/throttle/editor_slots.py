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
from notifier.throttle.cpu_budget import CpuBudget

BURST_SECONDS = 2.0
"""CPU seconds that a person may waste on refused work before they wait: eight endless loops."""
CPU_SHARE = 0.01
"""The part of a processor that they have from then on: one endless loop every 25 seconds."""
FREE_SECONDS = 0.25
"""CPU seconds of accepted work that are not charged."""
MAX_WAIT_SECONDS = 10.0
"""How long a request waits before it is refused."""


class TooMuchRefusedError(NotifierError):
    """This person's earlier requests have used up their time at the preview process; nothing was tried."""

    def __init__(self, seconds: float) -> None:
        self.retry_after = math.ceil(seconds)
        super().__init__(
            f"what you tried before was refused too often, or took too long: try again in {self.retry_after} s"
        )


@dataclass(eq=False)
class EditorSlot:
    """One person's slot, while they hold it."""

    get_cpu_seconds: Callable[[], float]  # CPU seconds of the child process so far
    began: float | None = None  # their number at the start; None: nothing has been done yet
    refused: bool = False

    def start(self, worked: Callable[[], float] | None = None) -> None:
        """Start to count the time of the child process, or of another one, whose CPU seconds `worked` returns."""
        self.get_cpu_seconds = worked or self.get_cpu_seconds
        self.began = self.get_cpu_seconds()

    def get_wasted_seconds(self) -> float:
        """Return the CPU seconds that were wasted, if the work ends now."""
        seconds = self.get_cpu_seconds() - self.began if self.began is not None else 0.0
        return seconds if self.refused else max(0.0, seconds - FREE_SECONDS)


@dataclass(eq=False)
class _EditorQueue:
    """The requests of one person."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    requests: int = 0  # waiting, and the one that holds the slot


class EditorSlots:
    """Gives slots, to each person in the order of their requests."""

    def __init__(
        self,
        clock: Clock,
        worked: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._worked = worked
        self._sleep = sleep
        self._budget = CpuBudget(clock, burst=BURST_SECONDS, share=CPU_SHARE)
        self._queues: dict[str, _EditorQueue] = {}

    @property
    def active_count(self) -> int:
        """The number of people with a request under way."""
        return len(self._queues)

    def has_debt(self, who: str) -> bool:
        """Return True while their wasted seconds have not grown back yet."""
        return self._budget.has_debt(who)

    @asynccontextmanager
    async def acquire(self, who: str) -> AsyncIterator[EditorSlot]:
        """Wait for the person's slot. Raises `TooMuchRefusedError` after the longest wait."""
        queue = self._queues.setdefault(who, _EditorQueue())
        queue.requests += 1
        try:
            async with queue.lock:
                wait = self._budget.get_wait(who)
                await self._sleep(min(wait, MAX_WAIT_SECONDS))
                if wait > MAX_WAIT_SECONDS:
                    raise TooMuchRefusedError(wait - MAX_WAIT_SECONDS)
                slot = EditorSlot(self._worked)
                try:
                    yield slot
                finally:
                    self._budget.charge(who, slot.get_wasted_seconds())
        finally:
            queue.requests -= 1
            if not queue.requests:
                del self._queues[who]
