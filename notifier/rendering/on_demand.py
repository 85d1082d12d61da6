"""A rendering pool that lets everybody else go first: for those who edit, and for mails that have been slow.

Its one child is started when first asked. One thing is done at a time, in the order in which it was asked for.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from notifier.rendering.images import Images
from notifier.rendering.job import Checked, Compare, Compared
from notifier.rendering.pool import RenderingPool
from notifier.rendering.source import TemplateSource

NICE = 15


class PoolOnDemand:
    """Checks and compares, and lends its child; whoever made it closes it."""

    def __init__(self, images: Images | None = None) -> None:
        self._images = images
        self._pool: RenderingPool | None = None
        self._one = asyncio.Lock()
        self._running = AsyncExitStack()

    @property
    def worked(self) -> float:
        """Processor seconds that all that was asked has taken so far."""
        return self._pool.worked if self._pool is not None else 0.0

    async def check(self, source: TemplateSource) -> Checked:
        """What is to be said about the source."""
        async with self.child() as pool:
            return await pool.check(source)

    async def compare(self, request: Compare, wall: float) -> list[Compared | None]:
        """How mails differ between two versions; raises `ChildLostError`."""
        async with self.child() as pool:
            return await pool.compare(request, wall)

    async def aclose(self) -> None:
        """End the child, if there is one."""
        await self._running.aclose()

    @asynccontextmanager
    async def child(self) -> AsyncIterator[RenderingPool]:
        """The one child, as long as the block; it is started if there is none yet."""
        async with self._one:
            if self._pool is None:
                self._pool = await self._running.enter_async_context(RenderingPool(nice=NICE, images=self._images))
            yield self._pool
