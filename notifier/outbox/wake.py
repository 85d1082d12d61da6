"""The wake-up within one process: the intake hints, the worker listens; polling makes up for every lost hint."""

import asyncio
from collections.abc import Callable


class Wake:
    """A hint that work has become due; losing one costs a poll interval, nothing more."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.hinted = False  # other processes tell this one when work has become due
        self.others: list[Callable[[], None]] = []  # who is told as well

    def __call__(self) -> None:
        """Give the hint."""
        self._event.set()
        for other in self.others:
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
