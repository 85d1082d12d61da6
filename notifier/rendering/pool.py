"""The rendering pool: child processes under a wall limit, so that no template can stall or crash the sender.

A batch that overruns is rendered again one mail at a time, which finds the culprit; the child is killed and replaced.
"""

import asyncio
import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Self

from msgspec.structs import replace

from notifier.rendering.attachments import MAX_MESSAGE_BYTES, filled, size_when_filled
from notifier.rendering.images import Images
from notifier.rendering.job import (
    Answer,
    Batch,
    Check,
    Checked,
    Compare,
    Compared,
    Comparison,
    FaultCode,
    Gapped,
    Job,
    Render,
    Rendered,
    RenderFault,
    Request,
    Show,
    Shown,
    ShownParts,
    Untried,
)
from notifier.rendering.link import ChildLostError, Loss
from notifier.rendering.meter import Meter
from notifier.rendering.process import ChildProcess
from notifier.rendering.source import PinnedAsset, TemplateSource
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

WALL_SECONDS = 1.0
STARVED_WALL_SECONDS = 8.0
CHECK_SECONDS = 2.0
LARGEST_BATCH = 25
"""Mails in one request: enough to pay for the trip, few enough to lose little when one of them overruns."""
MOST_CONTENT = 64 * 1024
"""Characters of literal content in one request, if it has several: making a text of so much HTML takes up to 60 ms."""
AT_ONCE = 64 * 1024
"""Octets of attachments that are put in at once; more of them would stop the event loop, and take a thread."""
MOST_CHILDREN = 4
"""Of those that are started without being asked for: one sender process cannot keep more of them busy."""
UNDER_WAY = 2
"""Requests that a child may have: one that it works at, and the next, so that it never waits for one."""

OVERRAN = RenderFault(
    part="mail",
    line=None,
    message=f"rendering took longer than {WALL_SECONDS:g} s, or too much memory",
    advice="Look for a loop inside a loop, or a list that grows, and show less.",
    code=FaultCode.TOO_SLOW,
)
STARVED = RenderFault(part="mail", line=None, message="this host gave rendering no processor time")
"""No fault of the mail: to be rendered again later."""
TOO_BIG = RenderFault(
    part="mail",
    line=None,
    message=f"the finished mail would have more than {MAX_MESSAGE_BYTES // 1024**2} MiB.",
    advice="Send fewer or smaller files, or link to them.",
    code=FaultCode.TOO_LARGE,
)
IMAGE_GONE = RenderFault(part="mail", line=None, message="an image that it shows is not in the database any more")


Result = Rendered | Gapped | RenderFault | Untried


class RenderingPool:
    """Renders mails in child processes, as many as the processors suggest if `children` is 0; a context manager.

    A pool for people who edit is `nice`: what they try must not make a mail or a request wait.
    """

    def __init__(
        self, *, children: int = 1, nice: int = 0, images: Images | None = None, limit: int = MAX_MESSAGE_BYTES
    ) -> None:
        self._limit = limit  # bytes of a finished mail
        self._images = images  # None: there are none
        public_url = images.public_url if images is not None else None
        count = children or suggested(_processors())
        self._children = [ChildProcess(nice=nice, public_url=public_url) for _ in range(count)]
        self._places = asyncio.Semaphore(len(self._children) * UNDER_WAY)
        self._filling = asyncio.Lock()  # one mail after the other: no faster with more threads, and it takes its memory
        self._log = get_logger()

    async def __aenter__(self) -> Self:
        for child in self._children:
            await child.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for child in self._children:
            await child.stop()

    @property
    def worked(self) -> float:
        """Processor seconds that all requests have taken so far; where the system does not tell, 0."""
        return sum(child.worked for child in self._children)

    async def render(
        self, jobs: Sequence[Job], sources: Mapping[str, TemplateSource], meter: Meter | None = None
    ) -> list[Rendered | RenderFault | Untried]:
        """Render the jobs, whose versions are all in `sources`; one result per job, in order.

        A request has little time: what it leaves undone queues again, behind whatever was asked for meanwhile.
        """
        rendered = await asyncio.gather(*(self._render_and_fill(batch, sources, meter) for batch in _batches(jobs)))
        return [result for results in rendered for result in results]

    async def preview(self, job: Job, sources: Mapping[str, TemplateSource]) -> Shown | RenderFault:
        """The mail that the job would be, part by part and as a whole; nobody is blamed for a child that was lost."""
        answer = await self._patiently(Show(job=_told(job), sources=_needed([job], sources)), WALL_SECONDS)
        if isinstance(answer, RenderFault):
            return answer
        if not isinstance(answer, ShownParts):
            raise ChildLostError(Loss.DIED)
        parts, mail = answer.parts, await self._filled(answer.mail, job, sources)
        if isinstance(mail, RenderFault):
            return mail
        return Shown(subject=parts.subject, html=parts.html, text=parts.text, wire=mail.wire)

    async def check(self, source: TemplateSource) -> Checked:
        """Compile the source and render its sample; an overrun is a fault like any other."""
        answer = await self._patiently(Check(source=source), CHECK_SECONDS)
        if isinstance(answer, RenderFault):
            return Checked(faults=[answer], remarks=[], variables_schema={}, subject_paths=[], previews={})
        if not isinstance(answer, Checked):
            raise ChildLostError(Loss.DIED)
        return answer

    async def compare(self, request: Compare, wall: float = WALL_SECONDS) -> list[Compared | None]:
        """How each of the mails differs between two versions; raises `ChildLostError`, whosever fault it is."""
        answer = await self._ask(request, wall)
        if not isinstance(answer, Comparison) or len(answer.results) != len(request.payloads):
            raise ChildLostError(Loss.DIED)
        return answer.results

    async def _render_and_fill(
        self, jobs: Sequence[Job], sources: Mapping[str, TemplateSource], meter: Meter | None
    ) -> list[Rendered | RenderFault | Untried]:
        results = await self._render_batch(jobs, sources, meter)
        return [
            await self._filled(result, job, sources) if isinstance(result, (Rendered, Gapped)) else result
            for result, job in zip(results, jobs, strict=True)
        ]

    async def _filled(
        self, mail: Rendered | Gapped, job: Job, sources: Mapping[str, TemplateSource]
    ) -> Rendered | RenderFault:
        """The mail with its attachments, written here and not by the child: it need not be trusted with them."""
        if isinstance(mail, Rendered):
            return mail if len(mail.wire) <= self._limit else TOO_BIG
        gaps = len(job.attachments) + len(mail.images)
        if sorted(piece for piece in mail.pieces if isinstance(piece, int)) != [*range(gaps)]:
            raise ChildLostError(Loss.DIED)
        images = await self._shown(mail.images, sources[job.version].assets) if job.version and mail.images else []
        if images is None:
            return IMAGE_GONE
        if size_when_filled(mail, job.attachments, images) > self._limit:
            return TOO_BIG
        if sum(len(attachment.data) for attachment in job.attachments) + sum(map(len, images)) <= AT_ONCE:
            return filled(mail, job.attachments, images)
        async with self._filling:
            return await asyncio.to_thread(filled, mail, job.attachments, images)

    async def _shown(self, names: Sequence[str], assets: Mapping[str, PinnedAsset]) -> list[bytes] | None:
        """The images that the child says are shown, as the version has pinned them; None if one is gone."""
        if not assets.keys() >= set(names):
            raise ChildLostError(Loss.DIED)
        hashes = [assets[name].sha256 for name in names]
        found = await self._images.base64(set(hashes)) if self._images is not None else {}
        return [found[one] for one in hashes] if found.keys() >= set(hashes) else None

    async def _render_batch(
        self, jobs: Sequence[Job], sources: Mapping[str, TemplateSource], meter: Meter | None
    ) -> list[Result]:
        """Each of the jobs, in as many requests as it takes; of a version that is slow, none after the first."""
        results: dict[int, Result] = {}
        slow: set[tuple[str, str | None]] = set()
        at_once = len(jobs)
        while len(results) < len(jobs):
            async with self._places:
                pending = [number for number in range(len(jobs)) if number not in results]
                left_out = {number for number in pending if _is_left_out(jobs[number], slow, meter)}
                results |= dict.fromkeys(left_out, Untried())
                asked = [number for number in pending if number not in left_out][:at_once]
                answer = await self._render_some([jobs[number] for number in asked], sources) if asked else None
            if answer is None:
                at_once = 1  # which one of them was it?
                continue
            for number, result, seconds in zip(asked, answer.results, answer.seconds, strict=False):
                results[number] = result
                if meter is not None:
                    meter.add(jobs[number], seconds)
                if isinstance(result, RenderFault) and result.code is FaultCode.TOO_SLOW:
                    slow.add((jobs[number].payer, jobs[number].version))
        return [results[number] for number in range(len(jobs))]

    async def _render_some(
        self, jobs: Sequence[Job], sources: Mapping[str, TemplateSource], *, before: Loss | None = None
    ) -> Batch | None:
        """The first of the jobs, at least one; None if one of several made them lose their child."""
        started = time.perf_counter()
        wall = STARVED_WALL_SECONDS if before is Loss.STARVED else WALL_SECONDS
        try:
            request = Render(jobs=[_told(job) for job in jobs], sources=_needed(jobs, sources))
            answer = await self._ask_at_once(request, wall)
        except ChildLostError as lost:
            if len(jobs) > 1:
                return None
            if lost.how is not Loss.OVERRAN and before is None:  # something else may be to blame, and not the mail
                return await self._render_some(jobs, sources, before=lost.how)
            self._log.warning("render_overran", version=jobs[0].version, reason=lost.how)
            return (
                Batch(results=[STARVED], seconds=[0.0])
                if lost.how is Loss.STARVED
                else Batch(results=[OVERRAN], seconds=[wall])
            )
        finally:
            metrics.RENDER_SECONDS.observe(time.perf_counter() - started)
        if not isinstance(answer, Batch) or not 0 < len(answer.results) == len(answer.seconds) <= len(jobs):
            raise ChildLostError(Loss.DIED)
        return answer

    async def _patiently(self, request: Request, wall: float) -> Answer:
        """The answer, or a fault in place of one; a child that was not let to run, or died, is asked once more."""
        try:
            return await self._ask(request, wall)
        except ChildLostError as lost:
            if lost.how is Loss.OVERRAN:
                return OVERRAN
        try:
            return await self._ask(request, STARVED_WALL_SECONDS)
        except ChildLostError as lost:
            return STARVED if lost.how is Loss.STARVED else OVERRAN

    async def _ask(self, request: Request, wall: float) -> Answer:
        """Ask the child with the fewest requests; again, if one was lost by what another request did to it."""
        async with self._places:
            return await self._ask_at_once(request, wall)

    async def _ask_at_once(self, request: Request, wall: float) -> Answer:
        while True:
            child = min(self._children, key=lambda child: child.asked)
            try:
                return await child.ask(request, wall)
            except ChildLostError as lost:
                if lost.how is not Loss.BEHIND:
                    raise


def _batches(jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
    """The jobs in runs for one request each."""
    start, content = 0, 0
    for number, job in enumerate(jobs):
        length = len(job.content) if job.content else 0
        if number > start and (number - start == LARGEST_BATCH or content + length > MOST_CONTENT):
            yield jobs[start:number]
            start, content = number, 0
        content += length
    if jobs:
        yield jobs[start:]


def _is_left_out(job: Job, slow: Collection[tuple[str, str | None]], meter: Meter | None) -> bool:
    return (job.payer, job.version) in slow or (meter is not None and meter.leaves_out(job))


def _told(job: Job) -> Job:
    """The job as the child is told it."""
    if not job.attachments:
        return job
    return replace(job, attachments=[replace(attachment, data=b"") for attachment in job.attachments])


def _needed(jobs: Sequence[Job], sources: Mapping[str, TemplateSource]) -> dict[str, TemplateSource]:
    return {job.version: sources[job.version] for job in jobs if job.version is not None}


def suggested(processors: int) -> int:
    """How many children a sender should have: it, the database and the relay need processors as well."""
    return min(MOST_CHILDREN, max(1, processors // 2))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
