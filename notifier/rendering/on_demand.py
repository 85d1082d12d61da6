"""A rendering pool for those who rarely need one: its child is started when first asked, and is not the sender's."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

from notifier.rendering.images import Images
from notifier.rendering.job import Checked, Compare, Compared, Job, RenderFault, Shown
from notifier.rendering.pool import RenderingPool
from notifier.rendering.source import TemplateSource

NICE = 15


class PoolOnDemand:
    """Shows mails and checks sources; whoever made it closes it."""

    def __init__(self, images: Images | None = None) -> None:
        self._images = images
        self._pool: RenderingPool | None = None
        self._starting = asyncio.Lock()
        self._running = AsyncExitStack()

    async def preview(self, job: Job, sources: Mapping[str, TemplateSource]) -> Shown | RenderFault:
        """The mail that the job would be."""
        return await (await self._started()).preview(job, sources)

    async def check(self, source: TemplateSource) -> Checked:
        """What is to be said about the source."""
        return await (await self._started()).check(source)

    async def compare(self, request: Compare, wall: float) -> list[Compared]:
        """How mails differ between two versions; raises `ChildLostError`."""
        return await (await self._started()).compare(request, wall)

    async def close(self) -> None:
        """End the child, if there is one."""
        await self._running.aclose()

    async def _started(self) -> RenderingPool:
        async with self._starting:
            if self._pool is None:
                self._pool = await self._running.enter_async_context(RenderingPool(nice=NICE, images=self._images))
        return self._pool
