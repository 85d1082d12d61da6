"""Polls for results of other processes: rows that they write, and replies of the API."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

MIN_PAUSE_SECONDS = 0.02
MAX_SECONDS = 100.0
"""Much longer than any wait takes on a quiet host."""

_T = TypeVar("_T")


async def poll_until(question: Callable[[], Awaitable[_T | None]]) -> _T:
    """Poll; return the first result that is true.

    The pauses are twice as long as a question takes, because it takes the processor from what it waits for.
    """
    async with asyncio.timeout(MAX_SECONDS):
        while True:
            start = time.perf_counter()
            if answer := await question():
                return answer
            await asyncio.sleep(max(MIN_PAUSE_SECONDS, 2 * (time.perf_counter() - start)))


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""

    async def hold() -> bool:
        return condition()

    await poll_until(hold)
