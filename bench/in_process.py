"""A sender that renders in its own process, which Notifier never does: what isolation costs is seen beside it.

Run as `python -m bench.in_process`, with the environment of `notifier sender --drain`, as which it behaves.
"""

import asyncio
from typing import Self

from msgspec.structs import replace

from notifier import wiring
from notifier.rendering.child import Child
from notifier.rendering.images import Images
from notifier.rendering.job import Answer, Check, Request
from notifier.rendering.pool import RenderingPool
from notifier.settings import Settings
from notifier.telemetry import logging


class InProcess(RenderingPool):
    """A pool without children, limits and protection."""

    def __init__(self, *, children: int = 1, nice: int = 0, images: Images | None = None) -> None:
        super().__init__(children=children, nice=nice, images=images)
        self._renderer = Child()
        self._has: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        pass

    async def _ask(self, request: Request, wall: float) -> Answer:  # noqa: ARG002 - nothing could end it
        return self._renderer.answer(self._without_known(request))

    def _without_known(self, request: Request) -> Request:
        if isinstance(request, Check):
            return request
        new = {version: source for version, source in request.sources.items() if version not in self._has}
        self._has |= new.keys()
        return replace(request, sources=new)


async def run() -> None:
    """Send until nothing is due."""
    settings = Settings()
    logging.configure(json=True, level=settings.log_level)  # what nobody reads would fill the pipe
    async with wiring.base(settings) as parts, wiring.sender(parts, pool=InProcess) as running:
        print("sender ready", flush=True)
        await running.drain()


if __name__ == "__main__":
    asyncio.run(run())
