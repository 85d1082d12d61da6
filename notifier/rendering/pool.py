"""The rendering pool: child processes under a wall limit, so that no template can stall or crash the sender.

A batch that overruns is rendered again one mail at a time, which finds the culprit; the child is killed and replaced.
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Self

from notifier.rendering.job import Batch, Check, Checked, Job, Render, Rendered, RenderFault, Request
from notifier.rendering.link import ChildLostError, Loss
from notifier.rendering.process import ChildProcess
from notifier.rendering.source import TemplateSource
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

WALL_SECONDS = 1.0
STARVED_WALL_SECONDS = 8.0
CHECK_SECONDS = 2.0
LARGEST_BATCH = 25
"""Mails in one request: enough to pay for the trip, few enough to lose little when one of them overruns."""
MOST_CHILDREN = 4
"""Of those that are started without being asked for: one sender process cannot keep more of them busy."""
UNDER_WAY = 2
"""Requests that a child may have: one that it works at, and the next, so that it never waits for one."""

OVERRAN = RenderFault(
    part="mail", line=None, message=f"rendering took longer than {WALL_SECONDS:g} s, or too much memory"
)
STARVED = RenderFault(part="mail", line=None, message="this host gave rendering no processor time")
"""No fault of the mail: to be rendered again later."""


class RenderingPool:
    """Renders mails in child processes, as many as the processors suggest if `children` is 0; a context manager."""

    def __init__(self, *, children: int = 1) -> None:
        self._children = [ChildProcess() for _ in range(children or suggested(_processors()))]
        self._places = asyncio.Semaphore(len(self._children) * UNDER_WAY)
        self._log = get_logger()

    async def __aenter__(self) -> Self:
        for child in self._children:
            await child.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for child in self._children:
            await child.stop()

    async def render(self, jobs: Sequence[Job], sources: Mapping[str, TemplateSource]) -> list[Rendered | RenderFault]:
        """Render the jobs, whose versions are all in `sources`; one result per job, in order."""
        batches = [jobs[start : start + LARGEST_BATCH] for start in range(0, len(jobs), LARGEST_BATCH)]
        rendered = await asyncio.gather(*(self._render_batch(batch, sources) for batch in batches))
        return [result for results in rendered for result in results]

    async def check(self, source: TemplateSource) -> Checked:
        """Compile the source and render its sample; an overrun is a fault like any other."""
        try:
            answer = await self._ask(Check(source=source), CHECK_SECONDS)
        except ChildLostError:
            return Checked(faults=[OVERRAN], warnings=[], subject_paths=[], previews={})
        if not isinstance(answer, Checked):
            raise ChildLostError(Loss.DIED)
        return answer

    async def _render_batch(
        self, jobs: Sequence[Job], sources: Mapping[str, TemplateSource], *, before: Loss | None = None
    ) -> list[Rendered | RenderFault]:
        started = time.perf_counter()
        wall = STARVED_WALL_SECONDS if before is Loss.STARVED else WALL_SECONDS
        try:
            answer = await self._ask(
                Render(jobs=list(jobs), sources={job.version: sources[job.version] for job in jobs}), wall
            )
        except ChildLostError as lost:
            if len(jobs) > 1:
                return [result for job in jobs for result in await self._render_batch([job], sources)]
            if lost.how is not Loss.OVERRAN and before is None:  # something else may be to blame, and not the mail
                return await self._render_batch(jobs, sources, before=lost.how)
            self._log.warning("render_overran", version=jobs[0].version, reason=lost.how)
            return [STARVED if lost.how is Loss.STARVED else OVERRAN]
        finally:
            metrics.RENDER_SECONDS.observe(time.perf_counter() - started)
        if not isinstance(answer, Batch) or len(answer.results) != len(jobs):
            raise ChildLostError(Loss.DIED)
        return answer.results

    async def _ask(self, request: Request, wall: float) -> Batch | Checked:
        """Ask the child with the fewest requests; again, if one was lost by what another request did to it."""
        async with self._places:
            while True:
                child = min(self._children, key=lambda child: child.asked)
                try:
                    return await child.ask(request, wall)
                except ChildLostError as lost:
                    if lost.how is not Loss.BEHIND:
                        raise


def suggested(processors: int) -> int:
    """How many children a sender should have: it, the database and the relay need processors as well."""
    return min(MOST_CHILDREN, max(1, processors // 2))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
