"""Polls for results of other processes: rows that they write, and replies of the API."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

POLL_SECONDS = 0.02
MAX_SECONDS = 100.0
"""Much longer than any wait takes on a quiet host."""

_T = TypeVar("_T")


async def poll_until(question: Callable[[], Awaitable[_T | None]]) -> _T:
    """Poll; return the first result that is true."""
    async with asyncio.timeout(MAX_SECONDS):
        while not (answer := await question()):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(POLL_SECONDS)
    return answer


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""

    async def hold() -> bool:
        return condition()

    await poll_until(hold)
