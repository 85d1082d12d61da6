"""The wake-up within one process: whoever commits work wakes the worker."""

import asyncio

LAZY_SECONDS = 0.05


class Wake:
    """Tells the worker that work has become due. Losing a wake-up costs one poll interval, nothing more."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.hinted = False  # True: other processes tell this one when work has become due
        self.others: list[Wake] = []  # woken as well

    def __call__(self) -> None:
        """Wake the worker."""
        self._event.set()
        for follower in self.others:
            follower()

    async def wait(self, seconds: float) -> bool:
        """Wait for a wake-up, at most `seconds`; return True if there was one."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._event.clear()


class LazyWake(Wake):
    """A wake-up that waits 50 ms for others, so that a busy neighbour does not cause a poll at every commit."""

    def __init__(self) -> None:
        super().__init__()
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        """Wake the worker a little later."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LAZY_SECONDS, self._wake)

    def _wake(self) -> None:
        self._timer = None
        super().__call__()
