"""Waits for what a test cannot be told of, by asking again: rows that another process writes, and the API."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

POLL_SECONDS = 0.02
MAX_SECONDS = 100.0
"""Far longer than any wait needs on a quiet host."""

_T = TypeVar("_T")


async def poll_until(question: Callable[[], Awaitable[_T | None]]) -> _T:
    """Ask again and again; return the first answer that is true."""
    async with asyncio.timeout(MAX_SECONDS):
        while not (answer := await question()):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(POLL_SECONDS)
    return answer


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""

    async def hold() -> bool:
        return condition()

    await poll_until(hold)
