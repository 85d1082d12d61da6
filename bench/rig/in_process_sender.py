"""A sender that renders in its own process, to measure the cost of isolation; Notifier never does this.

Run `python -m bench.rig.in_process_sender`; it behaves as `notifier sender --drain` with the same environment.
"""

import asyncio
from typing import Any, Self

from msgspec.structs import replace

from notifier.rendering.child_program import RenderingChild
from notifier.rendering.pool import RenderingPool
from notifier.rendering.protocol import CheckRequest, ChildAnswer, ChildRequest
from notifier.runtime import wiring
from notifier.settings import Settings
from notifier.telemetry import logging


class InProcess(RenderingPool):
    """A pool without children, limits and protection."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._renderer = RenderingChild()
        self._has: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        pass

    async def _ask(self, request: ChildRequest, wall: float) -> ChildAnswer:  # noqa: ARG002 - nothing could end it
        return self._renderer.answer_request(self._without_known(request))

    def _without_known(self, request: ChildRequest) -> ChildRequest:
        if isinstance(request, CheckRequest):
            return request
        new = {version: source for version, source in request.sources.items() if version not in self._has}
        self._has |= new.keys()
        return replace(request, sources=new)


async def run() -> None:
    """Send until nothing is due."""
    settings = Settings()
    logging.configure_logging(json=True, level=settings.log_level)  # a pipe that nobody reads would fill
    async with wiring.open_process_parts(settings) as parts, wiring.run_sender(parts, pool=InProcess) as running:
        print("sender ready", flush=True)
        await running.drain()


if __name__ == "__main__":
    asyncio.run(run())
