"""A rendering pool that lets everybody else go first: for people who edit, and for mails that have been slow.

Its children are started when first asked: one for everybody, and one for those who have used up their CPU budget with
what was refused. Each does one thing at a time, in the order in which it was asked for.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from notifier.rendering.mail_filler import ImageLoader
from notifier.rendering.pool import RenderingPool
from notifier.rendering.protocol import CompareRequest, MailComparison, SourceCheck
from notifier.template_language.template_source import TemplateSource

PREVIEW_NICENESS = 15


class PreviewPool:
    """Checks and compares, and lends its children; the owner closes it."""

    def __init__(self, load_images: ImageLoader | None = None, public_url: str | None = None) -> None:
        self._main, self._separate = (
            RenderingPool(nice=PREVIEW_NICENESS, load_images=load_images, public_url=public_url) for _ in range(2)
        )
        self._locks = {self._main: asyncio.Lock(), self._separate: asyncio.Lock()}
        self._started: set[RenderingPool] = set()
        self._running = AsyncExitStack()

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds that everything asked of the first child has taken so far."""
        return self._main.cpu_seconds

    async def check(self, source: TemplateSource) -> SourceCheck:
        """Compile the source and render its sample."""
        async with self.borrow_child() as pool:
            return await pool.check(source)

    async def compare(self, request: CompareRequest, wall: float) -> list[MailComparison | None]:
        """Compare how mails differ between two versions; raises `ChildLostError`."""
        async with self.borrow_child() as pool:
            return await pool.compare(request, wall)

    async def aclose(self) -> None:
        """End the children, if there are any."""
        await self._running.aclose()

    @asynccontextmanager
    async def borrow_child(self, *, apart: bool = False) -> AsyncIterator[RenderingPool]:
        """Borrow a child as long as the block lasts; it is started if there is none yet."""
        pool = self._separate if apart else self._main
        async with self._locks[pool]:
            if pool not in self._started:
                await self._running.enter_async_context(pool)
                self._started.add(pool)
            yield pool
