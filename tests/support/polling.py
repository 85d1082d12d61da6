"""Polls for results of other processes: rows that they write, and replies of the API."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.02, 0.2
MAX_SECONDS = 100.0
"""Much longer than any wait takes on a quiet host."""

_T = TypeVar("_T")


async def poll_until(question: Callable[[], Awaitable[_T | None]]) -> _T:
    """Poll; return the first result that is true.

    Questions take the processor from what they wait for. So the pauses are at least twice as long as a question takes,
    and they grow up to a tenth of the time so far.
    """
    begin = time.perf_counter()
    async with asyncio.timeout(MAX_SECONDS):
        while True:
            start = time.perf_counter()
            if answer := await question():
                return answer
            now = time.perf_counter()
            await asyncio.sleep(max(MIN_PAUSE_SECONDS, 2 * (now - start), min(MAX_PAUSE_SECONDS, (now - begin) / 10)))


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""

    async def hold() -> bool:
        return condition()

    await poll_until(hold)


def poll_in_thread(question: Callable[[], _T | None]) -> _T:
    """Poll as `poll_until` does, in a thread that has no event loop."""

    async def ask() -> _T | None:
        return question()

    return asyncio.run(poll_until(ask))
