"""The wake-up within one process: the intake hints, the worker listens; polling makes up for every lost hint."""

import asyncio

DELAY_SECONDS = 0.05


class Wakeup:
    """A hint that work has become due; losing one costs a poll interval, nothing more."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.hears_others = False  # other processes tell this one when work has become due
        self.followers: list[Wakeup] = []  # who is woken as well

    def __call__(self) -> None:
        """Give the hint."""
        self._event.set()
        for other in self.followers:
            other()

    async def wait(self, seconds: float) -> bool:
        """Wait for a hint, at most `seconds`; True if there was one."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._event.clear()


class DelayedWakeup(Wakeup):
    """A hint that waits a moment for others, so that a busy neighbour does not ask for a look at every commit."""

    def __init__(self) -> None:
        super().__init__()
        self._coming: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        """Give the hint."""
        if self._coming is None:
            self._coming = asyncio.get_running_loop().call_later(DELAY_SECONDS, self._give)

    def _give(self) -> None:
        self._coming = None
        super().__call__()
