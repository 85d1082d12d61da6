"""A rendering pool that lets everybody else go first: for those who edit, and for mails that have been slow.

Its children are started when first asked: one for everybody, and one apart for those whose work was for nothing of
late. Each does one thing at a time, in the order in which it was asked for.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from notifier.rendering.images import Images
from notifier.rendering.job import Checked, Compare, Compared
from notifier.rendering.pool import RenderingPool
from notifier.rendering.source import TemplateSource

NICE = 15


class _Place:
    """A child with those who wait for it."""

    def __init__(self) -> None:
        self.pool: RenderingPool | None = None
        self.lock = asyncio.Lock()


class PoolOnDemand:
    """Checks and compares, and lends its children; whoever made it closes it."""

    def __init__(self, images: Images | None = None) -> None:
        self._images = images
        self._main, self._apart = _Place(), _Place()
        self._running = AsyncExitStack()

    @property
    def worked(self) -> float:
        """Processor seconds that all that was asked of the first child has taken so far."""
        return self._main.pool.worked if self._main.pool is not None else 0.0

    async def check(self, source: TemplateSource) -> Checked:
        """What is to be said about the source."""
        async with self.child() as pool:
            return await pool.check(source)

    async def compare(self, request: Compare, wall: float) -> list[Compared | None]:
        """How mails differ between two versions; raises `ChildLostError`."""
        async with self.child() as pool:
            return await pool.compare(request, wall)

    async def aclose(self) -> None:
        """End the children, if there are any."""
        await self._running.aclose()

    @asynccontextmanager
    async def child(self, *, apart: bool = False) -> AsyncIterator[RenderingPool]:
        """A child, as long as the block; it is started if there is none yet."""
        place = self._apart if apart else self._main
        async with place.lock:
            if place.pool is None:
                place.pool = await self._running.enter_async_context(RenderingPool(nice=NICE, images=self._images))
            yield place.pool
