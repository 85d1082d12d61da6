"""The rendering pool: child processes under a time limit, so that no template can stall or crash the sender.

A batch that overruns is rendered again one mail at a time, which finds the one to blame; the child is killed and
replaced. Attachments and images are put into the mails here: a child is not trusted with their bytes.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol, Self

from notifier.mail.attachment_parts import MAX_MESSAGE_BYTES, fill_attachments, get_filled_size
from notifier.mail.mail_parts import MailWithGaps, PinnedAsset, RenderedMail
from notifier.rendering.child_connection import ChildLostError, LossReason
from notifier.rendering.child_process import ChildProcess, count_processors, suggest_child_count
from notifier.rendering.protocol import (
    CheckRequest,
    ChildAnswer,
    ChildRequest,
    CompareAnswer,
    CompareRequest,
    MailComparison,
    PreviewAnswer,
    PreviewedMail,
    PreviewRequest,
    RenderBatchAnswer,
    RenderBatchRequest,
    RenderJob,
    SkippedMail,
    SourceCheck,
)
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger
from notifier.template_language.template_source import FaultCode, RenderFault, TemplateSource

MAX_BYTES_ON_LOOP = 64 * 1024
"""Bytes of attachments that are put in on the event loop; for more of them a thread is used."""
TOO_LARGE_FAULT = RenderFault(
    part="mail",
    line=None,
    message=f"the finished mail would have more than {MAX_MESSAGE_BYTES // 1024**2} MiB.",
    advice="Send fewer or smaller files, or link to them.",
    code=FaultCode.TOO_LARGE,
)
IMAGE_MISSING_FAULT = RenderFault(
    part="mail", line=None, message="an image that it shows is not in the database any more"
)

ImageLoader = Callable[[Collection[str]], Awaitable[Mapping[str, bytes]]]
"""Loads the base64 lines of the images with these SHA-256 (hexadecimal); what is gone is left out."""

MAX_WALL_SECONDS = 1.0
MAX_STARVED_WALL_SECONDS = 30.0
"""A child at low priority beside a busy process on each processor still gets a second of CPU time in it."""
MAX_CHECK_SECONDS = 2.0
MAX_BATCH_MAILS = 25
"""Mails in one request: enough to pay for the round trip, few enough to lose little when one of them overruns."""
MAX_CONTENT_CHARACTERS = 64 * 1024
"""Characters of literal content in one request, if it has several: making a text of so much HTML takes up to 60 ms."""
MAX_REQUESTS_PER_CHILD = 2
"""Requests that a child may have: one that it works at, and the next, so that it never waits for one."""

TOO_SLOW_FAULT = RenderFault(
    part="mail",
    line=None,
    message=f"rendering took longer than {MAX_WALL_SECONDS:g} s, or too much memory",
    advice="Look for a loop inside a loop, or a list that grows, and show less.",
    code=FaultCode.TOO_SLOW,
)
STARVED_FAULT = RenderFault(part="mail", line=None, message="this host gave rendering no processor time")
"""Not the mail's fault: it is rendered again later."""
ChildResult = RenderedMail | MailWithGaps | RenderFault | SkippedMail
RenderResult = RenderedMail | RenderFault | SkippedMail


class MailFiller:
    """Fills the gaps of mails, up to `limit` bytes of a finished mail; without a loader there are no images."""

    def __init__(self, load_images: ImageLoader | None, limit: int) -> None:
        self._load_images = load_images
        self._limit = limit
        self._lock = asyncio.Lock()  # one large mail after the other: more threads are no faster, and take memory

    async def fill(
        self, mail: RenderedMail | MailWithGaps, job: RenderJob, sources: Mapping[str, TemplateSource]
    ) -> RenderedMail | RenderFault:
        """Put in the attachments of the job and the images; raises `ChildLostError` for gaps that no child leaves."""
        if isinstance(mail, RenderedMail):
            return mail if len(mail.wire) <= self._limit else TOO_LARGE_FAULT
        gaps = len(job.attachments) + len(mail.images)
        if sorted(piece for piece in mail.pieces if isinstance(piece, int)) != [*range(gaps)]:
            raise ChildLostError(LossReason.DIED)
        has_images = job.version is not None and bool(mail.images)
        images = await self._read_images(mail.images, sources[job.version or ""].assets) if has_images else []
        if images is None:
            return IMAGE_MISSING_FAULT
        if get_filled_size(mail, job.attachments, images) > self._limit:
            return TOO_LARGE_FAULT
        if sum(len(attachment.data) for attachment in job.attachments) + sum(map(len, images)) <= MAX_BYTES_ON_LOOP:
            return fill_attachments(mail, job.attachments, images)
        async with self._lock:
            return await asyncio.to_thread(fill_attachments, mail, job.attachments, images)

    async def _read_images(self, names: Sequence[str], assets: Mapping[str, PinnedAsset]) -> list[bytes] | None:
        """Load the images that the child names, as the version has pinned them; None if one is gone."""
        if not assets.keys() >= set(names):
            raise ChildLostError(LossReason.DIED)
        hashes = [assets[name].sha256 for name in names]
        lines = await self._load_images(set(hashes)) if self._load_images is not None else {}
        return [lines[digest] for digest in hashes] if lines.keys() >= set(hashes) else None


class CostMeter(Protocol):
    """Records what each mail costs, and tells which mails to leave out."""

    def add_cost(self, job: RenderJob, seconds: float) -> None:
        """Add the processor seconds that a mail has taken."""

    def is_skipped(self, job: RenderJob) -> bool:
        """Return True if the mail is not to be rendered here now."""


class RenderingPool:
    """Renders mails in child processes, as many as the processors suggest if `children` is 0; a context manager.

    A pool for people who edit is `nice`, so that their tries do not delay a mail or a request.
    """

    def __init__(
        self,
        *,
        children: int = 1,
        nice: int = 0,
        load_images: ImageLoader | None = None,  # None: there are no images
        public_url: str | None = None,  # where linked images are
        limit: int = MAX_MESSAGE_BYTES,  # bytes of a finished mail
    ) -> None:
        self._filler = MailFiller(load_images, limit)
        count = children or suggest_child_count(count_processors())
        self._children = [ChildProcess(nice=nice, public_url=public_url) for _ in range(count)]
        self._slots = asyncio.Semaphore(len(self._children) * MAX_REQUESTS_PER_CHILD)

    async def __aenter__(self) -> Self:
        for child in self._children:
            await child.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for child in self._children:
            await child.stop()

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds that all requests have taken so far; where the system does not tell, 0."""
        return sum(child.cpu_seconds for child in self._children)

    async def render(
        self, jobs: Sequence[RenderJob], sources: Mapping[str, TemplateSource], meter: CostMeter | None = None
    ) -> list[RenderResult]:
        """Render the jobs, whose versions are all in `sources`; one result per job, in order.

        A request has little time: the mails that it leaves out wait again, behind later requests.
        """
        batches = _split_into_batches(jobs)
        rendered = await asyncio.gather(*(self._render_and_fill(batch, sources, meter) for batch in batches))
        return [result for results in rendered for result in results]

    async def preview(self, job: RenderJob, sources: Mapping[str, TemplateSource]) -> PreviewedMail | RenderFault:
        """Render one mail and show its parts and its bytes; raises `ChildLostError` for an answer that is none."""
        request = PreviewRequest(job=job.without_file_bytes(), sources=sources)
        answer = await self._ask_with_retry(request, MAX_WALL_SECONDS)
        if isinstance(answer, RenderFault):
            return answer
        if not isinstance(answer, PreviewAnswer):
            raise ChildLostError(LossReason.DIED)
        parts, mail = answer.parts, await self._filler.fill(answer.mail, job, sources)
        if isinstance(mail, RenderFault):
            return mail
        return PreviewedMail(subject=parts.subject, html=parts.html, text=parts.text, wire=mail.wire)

    async def check(self, source: TemplateSource) -> SourceCheck:
        """Compile the source and render its sample; an overrun is a fault like any other."""
        answer = await self._ask_with_retry(CheckRequest(source=source), MAX_CHECK_SECONDS)
        if isinstance(answer, RenderFault):
            return SourceCheck(faults=[answer], remarks=[], variables_schema={}, subject_paths=[], previews={})
        if not isinstance(answer, SourceCheck):
            raise ChildLostError(LossReason.DIED)
        return answer

    async def compare(self, request: CompareRequest, wall: float = MAX_WALL_SECONDS) -> list[MailComparison | None]:
        """Compare how each of the mails differs between two versions; raises `ChildLostError`."""
        answer = await self._ask(request, wall)
        if not isinstance(answer, CompareAnswer) or len(answer.results) != len(request.payloads):
            raise ChildLostError(LossReason.DIED)
        return answer.results

    async def _render_and_fill(
        self, jobs: Sequence[RenderJob], sources: Mapping[str, TemplateSource], meter: CostMeter | None
    ) -> list[RenderResult]:
        results = await self._render_batch(jobs, sources, meter)
        return [
            await self._filler.fill(result, job, sources)
            if isinstance(result, (RenderedMail, MailWithGaps))
            else result
            for result, job in zip(results, jobs, strict=True)
        ]

    async def _render_batch(
        self, jobs: Sequence[RenderJob], sources: Mapping[str, TemplateSource], meter: CostMeter | None
    ) -> list[ChildResult]:
        """Render all jobs, in as many requests as it takes; of a version that is slow, none after the first."""
        results: dict[int, ChildResult] = {}
        slow: set[tuple[str, str | None]] = set()

        def is_skipped(job: RenderJob) -> bool:
            return (job.payer, job.version) in slow or (meter is not None and meter.is_skipped(job))

        batch_size = len(jobs)
        while len(results) < len(jobs):
            async with self._slots:
                pending = [number for number in range(len(jobs)) if number not in results]
                skipped = {number for number in pending if is_skipped(jobs[number])}
                results |= dict.fromkeys(skipped, SkippedMail())
                requested = [number for number in pending if number not in skipped][:batch_size]
                answer = await self._render_some([jobs[number] for number in requested], sources) if requested else None
            if answer is None:
                batch_size = 1  # to find the one that lost the child
                continue
            for number, result, seconds in zip(requested, answer.results, answer.seconds, strict=False):
                results[number] = result
                if meter is not None:
                    meter.add_cost(jobs[number], seconds)
                if isinstance(result, RenderFault) and result.code is FaultCode.TOO_SLOW:
                    slow.add((jobs[number].payer, jobs[number].version))
        return [results[number] for number in range(len(jobs))]

    async def _render_some(
        self, jobs: Sequence[RenderJob], sources: Mapping[str, TemplateSource], *, before: LossReason | None = None
    ) -> RenderBatchAnswer | None:
        """Render the first of the jobs, at least one; return None if one of several made them lose their child."""
        start = time.perf_counter()
        wall = MAX_STARVED_WALL_SECONDS if before is LossReason.STARVED else MAX_WALL_SECONDS
        try:
            sent = [job.without_file_bytes() if job.attachments else job for job in jobs]
            request = RenderBatchRequest(jobs=sent, sources=sources)
            answer = await self._ask_in_slot(request, wall)
        except ChildLostError as lost:
            if len(jobs) > 1:
                return None
            if lost.reason is not LossReason.OVERRAN and before is None:  # something else than the mail may be to blame
                return await self._render_some(jobs, sources, before=lost.reason)
            get_logger().warning("render_overran", version=jobs[0].version, reason=lost.reason)
            fault, seconds = (STARVED_FAULT, 0.0) if lost.reason is LossReason.STARVED else (TOO_SLOW_FAULT, wall)
            return RenderBatchAnswer(results=[fault], seconds=[seconds])
        finally:
            metrics.RENDER_SECONDS.observe(time.perf_counter() - start)
        if not isinstance(answer, RenderBatchAnswer) or not 0 < len(answer.results) == len(answer.seconds) <= len(jobs):
            raise ChildLostError(LossReason.DIED)
        return answer

    async def _ask_with_retry(self, request: ChildRequest, wall: float) -> ChildAnswer:
        """Return the answer, or a fault instead; a child that got no processor, or died, is asked once more."""
        try:
            return await self._ask(request, wall)
        except ChildLostError as lost:
            if lost.reason is LossReason.OVERRAN:
                return TOO_SLOW_FAULT
        try:
            return await self._ask(request, MAX_STARVED_WALL_SECONDS)
        except ChildLostError as lost:
            return STARVED_FAULT if lost.reason is LossReason.STARVED else TOO_SLOW_FAULT

    async def _ask(self, request: ChildRequest, wall: float) -> ChildAnswer:
        async with self._slots:
            return await self._ask_in_slot(request, wall)

    async def _ask_in_slot(self, request: ChildRequest, wall: float) -> ChildAnswer:
        """Ask the child with the fewest requests, and again if another request made it lose its child."""
        while True:
            child = min(self._children, key=lambda child: child.pending_requests)
            try:
                return await child.ask(request, wall)
            except ChildLostError as lost:
                if lost.reason is not LossReason.BEHIND:
                    raise


def _split_into_batches(jobs: Sequence[RenderJob]) -> Iterator[Sequence[RenderJob]]:
    start, content = 0, 0
    for number, job in enumerate(jobs):
        length = len(job.content) if job.content else 0
        if number > start and (number - start == MAX_BATCH_MAILS or content + length > MAX_CONTENT_CHARACTERS):
            yield jobs[start:number]
            start, content = number, 0
        content += length
    if jobs:
        yield jobs[start:]
