"""A rendering pool that lets everybody else go first: for those who edit, and for mails that have been slow.

Its children are started when first asked: one for everybody, and one apart for those whose work was for nothing of
late. Each does one thing at a time, in the order in which it was asked for.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from notifier.rendering.pool import RenderingPool
from notifier.rendering.protocol import CompareRequest, MailComparison, SourceCheck
from notifier.template_language.image_functions import ImageStore
from notifier.template_language.template_source import TemplateSource

PREVIEW_NICENESS = 15


class _PreviewChild:
    """A child with those who wait for it."""

    def __init__(self) -> None:
        self.pool: RenderingPool | None = None
        self.lock = asyncio.Lock()


class PreviewPool:
    """Checks and compares, and lends its children; whoever made it closes it."""

    def __init__(self, images: ImageStore | None = None) -> None:
        self._images = images
        self._main, self._separate = _PreviewChild(), _PreviewChild()
        self._running = AsyncExitStack()

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds that all that was asked of the first child has taken so far."""
        return self._main.pool.cpu_seconds if self._main.pool is not None else 0.0

    async def check(self, source: TemplateSource) -> SourceCheck:
        """What is to be said about the source."""
        async with self.borrow_child() as pool:
            return await pool.check(source)

    async def compare(self, request: CompareRequest, wall: float) -> list[MailComparison | None]:
        """How mails differ between two versions; raises `ChildLostError`."""
        async with self.borrow_child() as pool:
            return await pool.compare(request, wall)

    async def aclose(self) -> None:
        """End the children, if there are any."""
        await self._running.aclose()

    @asynccontextmanager
    async def borrow_child(self, *, apart: bool = False) -> AsyncIterator[RenderingPool]:
        """A child, as long as the block; it is started if there is none yet."""
        place = self._separate if apart else self._main
        async with place.lock:
            if place.pool is None:
                place.pool = await self._running.enter_async_context(
                    RenderingPool(nice=PREVIEW_NICENESS, images=self._images)
                )
            yield place.pool
