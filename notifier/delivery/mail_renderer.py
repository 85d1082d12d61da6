"""Making the mails of deliveries, from the version pinned at submit or from their own content, at a bearable pace."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import msgspec

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.delivery import render_job
from notifier.delivery.delivery_loader import Delivery, SourceCache
from notifier.delivery.delivery_result import DeliveryResult, NotBegun, Throttled, describe_fault, stop_unrenderable
from notifier.delivery.render_job import VERSION_GONE
from notifier.outbox.handler import ClaimedEntry
from notifier.recipient_policy import RecipientPolicy
from notifier.rendering.cost_meter import CostMeter
from notifier.rendering.pool import MAX_WALL_SECONDS, STARVED_FAULT, TOO_SLOW_FAULT, RenderingPool
from notifier.rendering.preview_pool import PreviewPool
from notifier.rendering.protocol import FaultCode, MailAttachment, RenderedMail, RenderFault, RenderJob, SkippedMail
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger
from notifier.template_language.time_limit import MAX_PART_SECONDS
from notifier.throttle.cpu_budget import CostTracker, CpuBudget

BURST_SECONDS = 0.5
"""That a version's mails may burn at once: as much as two that are stopped by their time limit."""
SLOW_SHARE = 0.01
"""Of a processor, that they have from then on: one such mail every 25 seconds."""
FREE_SECONDS = 0.05
"""Of a processor, that a mail may take and count for nothing: many times what a usual one takes."""
COSTLY_BURST_SECONDS = 1.0
"""That mails which take more, and come to something, may use at once: of a service with a version, or with content."""
COSTLY_SHARE = 0.5
"""Of a processor, that they have from then on."""
MAX_COSTLY_WAITING = 4
"""Such mails that wait for their turn in this process; the others wait in the queue, where they are in nobody's way."""
QUEUE_SECONDS = 1.0
"""How long one of the others waits there at least."""

Payer = tuple[str, str | None]
"""A service, and the version of its mails or None for those with content of their own."""


class ClaimedDelivery(msgspec.Struct, frozen=True, kw_only=True, gc=False, eq=False):
    """One claimed notification on its way through the steps."""

    entry: ClaimedEntry
    delivery: Delivery


@dataclass(eq=False)
class _PayerQueue:
    """The costly mails of one payer, which are made one after the other."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0  # the one that is being made too


class MailRenderer:
    """Makes mails, or says how their claims end instead."""

    def __init__(
        self, database: Database, pool: RenderingPool, apart: PreviewPool, policy: RecipientPolicy, clock: Clock
    ) -> None:
        self._sources = SourceCache(database)
        self._pool = pool
        self._apart = apart  # for costly mails: one at a time, behind everybody else
        self._policy = policy
        # What a service sends with a version may be what is slow, not the version.
        self._pace = CpuBudget(clock, burst=BURST_SECONDS, share=SLOW_SHARE)
        self._costs = CostTracker(clock, free=FREE_SECONDS, burst=COSTLY_BURST_SECONDS, share=COSTLY_SHARE)
        self._lanes: dict[Payer, _PayerQueue] = {}
        self._log = get_logger()

    async def have_images(self, versions: Sequence[UUID | None]) -> bool:
        """Whether mails of any of the versions may carry images."""
        return await self._sources.have_images(versions)

    def is_costly(self, one: ClaimedDelivery) -> bool:
        """Whether it is to be made alone: mails like it were costly of late, or came to nothing."""
        return self._is_costly(_get_payer(one))

    async def render_mails(
        self, work: Sequence[ClaimedDelivery], files: Sequence[MailAttachment] = ()
    ) -> list[RenderedMail | DeliveryResult]:
        """The bytes of each mail, or how its claim ends; in order. `files` go with a mail that is made alone."""
        if len(work) != 1 or not self.is_costly(work[0]):
            return await self._render(work, files, self._pool, self)
        payer = _get_payer(work[0])
        lane = self._lanes.setdefault(payer, _PayerQueue())
        if lane.waiting >= MAX_COSTLY_WAITING:
            return [self._find_throttle(work[0]) or Throttled(wait=timedelta(seconds=QUEUE_SECONDS))]
        lane.waiting += 1
        try:
            async with (
                lane.lock,
                self._apart.borrow_child() as pool,
            ):  # payers take turns: each has one mail in the line
                return await self._render(work, files, pool, None)
        finally:
            lane.waiting -= 1
            if not lane.waiting:
                del self._lanes[payer]

    # -- what the pool asks while it renders ------------------------------------------------------

    def add_cost(self, job: RenderJob, seconds: float) -> None:
        """Remember who is costly."""
        self._costs.add((job.payer, job.version), seconds)

    def is_skipped(self, job: RenderJob) -> bool:
        """What has turned out to be costly meanwhile does not keep others waiting."""
        return self._is_costly((job.payer, job.version))

    # -- details, in call order -------------------------------------------------------------------

    def _is_costly(self, payer: Payer) -> bool:
        return self._pace.has_debt(payer) or self._costs.is_costly(payer)

    async def _render(
        self,
        work: Sequence[ClaimedDelivery],
        files: Sequence[MailAttachment],
        pool: RenderingPool,
        meter: CostMeter | None,
    ) -> list[RenderedMail | DeliveryResult]:
        sources = await self._sources.get_sources([one.delivery.template_version_id for one in work])
        begun = [self._build_job(one, sources, files) for one in work]
        jobs = [(one, job) for one, job in zip(work, begun, strict=True) if isinstance(job, RenderJob)]
        rendered = await pool.render([job for _, job in jobs], sources, meter)
        for (one, _), result in zip(jobs, rendered, strict=True):
            self._record_slowness(
                one, result
            )  # of all of them, before it is said when the others of a version may be tried
        ends = (self._build_result(one, result) for (one, _), result in zip(jobs, rendered, strict=True))
        return [next(ends) if isinstance(job, RenderJob) else job for job in begun]

    def _build_job(
        self, one: ClaimedDelivery, sources: Mapping[str, object], files: Sequence[MailAttachment]
    ) -> RenderJob | DeliveryResult:
        try:
            if (paced := self._find_throttle(one)) is not None:
                return paced
            job = render_job.build_render_job(one.delivery, self._policy, files, payer=str(one.entry.service_id))
        except Exception as error:  # noqa: BLE001 - a row that raises here must not stop its neighbours
            self._log.exception("composing_failed", notification_id=str(one.delivery.id))
            return describe_fault(error)
        return job if job.version is None or job.version in sources else self._fail(VERSION_GONE)

    def _record_slowness(self, one: ClaimedDelivery, result: RenderedMail | RenderFault | SkippedMail) -> None:
        if isinstance(result, RenderFault) and result.code is FaultCode.TOO_SLOW:
            seconds = MAX_WALL_SECONDS if result is TOO_SLOW_FAULT else MAX_PART_SECONDS
            if self._pace.charge(_get_payer(one), seconds):
                service, version = _get_payer(one)
                self._log.warning("template_too_slow", service_id=service, version=version)

    def _build_result(
        self, one: ClaimedDelivery, result: RenderedMail | RenderFault | SkippedMail
    ) -> RenderedMail | DeliveryResult:
        if isinstance(result, RenderedMail):
            return result
        if isinstance(result, SkippedMail):
            return self._find_throttle(one) or NotBegun()
        return NotBegun() if result is STARVED_FAULT else self._fail(result)

    def _find_throttle(self, one: ClaimedDelivery) -> Throttled | None:
        """Not now, because the service's mails of that version, or with content, have taken too long."""
        payer = _get_payer(one)
        wait = max(self._pace.get_wait(payer), self._costs.get_wait(payer))
        return Throttled(wait=timedelta(seconds=wait)) if wait > 0 else None

    def _fail(self, fault: RenderFault) -> DeliveryResult:
        metrics.RENDER_FAILURES.inc()
        return stop_unrenderable(fault)


def _get_payer(one: ClaimedDelivery) -> Payer:
    version = one.delivery.template_version_id
    return str(one.entry.service_id), str(version) if version else None
