"""Render the mails of claimed notifications, from the pinned version or their own content, within a CPU budget."""

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import msgspec

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.delivery.delivery_loader import Delivery, SourceCache
from notifier.delivery.delivery_result import DeliveryResult, NotBegun, Throttled, describe_fault, stop_unrenderable
from notifier.email_address import ORIGINAL_TO_HEADER, RecipientPolicy
from notifier.mail.limits import MAX_PART_SECONDS
from notifier.mail.mail_parts import MailAttachment, RenderedMail
from notifier.outbox.entry_handler import ClaimedEntry
from notifier.rendering.pool import MAX_WALL_SECONDS, STARVED_FAULT, TOO_SLOW_FAULT, CostMeter, RenderingPool
from notifier.rendering.preview_pool import CpuBudget, PreviewPool
from notifier.rendering.protocol import RenderJob, SkippedMail
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger
from notifier.template_language.secret_erasure import SecretErasure
from notifier.template_language.template_source import FaultCode, RenderFault

VERSION_GONE = RenderFault(part="template", line=None, message="the pinned version is not in the database any more")
ATTACHMENT_GONE = RenderFault(part="attachments", line=None, message="an attachment is not in the database any more")
BURST_SECONDS = 0.5
"""CPU seconds that mails of a version may use at once before they are throttled: two that reach the time limit."""
SLOW_SHARE = 0.01
"""Share of a CPU that slow mails get from then on: one such mail every 25 seconds."""
FREE_SECONDS = 0.05
"""CPU seconds of one mail that are not counted: many times what a usual mail takes."""
COSTLY_BURST_SECONDS = 1.0
"""CPU seconds that costly mails of one service and version may use at once."""
COSTLY_SHARE = 0.5
"""Share of a CPU that costly mails get from then on."""
MAX_COSTLY_WAITING = 4
"""Costly mails of one payer that wait in this process; the others wait in the queue."""
QUEUE_SECONDS = 1.0
"""Seconds that such a mail waits in the queue at least."""

MEMORY_SECONDS = 600.0
"""How long costly work is remembered."""
MIN_COSTLY_TIMES = 2
"""How often work must be costly within that time: once may be the machine's fault."""

Payer = tuple[str, str | None]
"""A service, and the version of its mails; None for mails with their own content."""


class ClaimedDelivery(msgspec.Struct, frozen=True, kw_only=True, gc=False, eq=False):
    """A claimed notification: its outbox entry and what was loaded."""

    entry: ClaimedEntry
    delivery: Delivery


@dataclass(eq=False)
class _PayerQueue:
    """The costly mails of one payer, rendered one after the other."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0  # with the one that is being rendered


class MailRenderer:
    """Renders mails, or says how their claims end instead."""

    def __init__(
        self, database: Database, pool: RenderingPool, costly_pool: PreviewPool, policy: RecipientPolicy, clock: Clock
    ) -> None:
        self._sources = SourceCache(database.read)
        self._pool = pool
        self._costly_pool = costly_pool  # for costly mails: one at a time, at lower priority
        self._policy = policy
        # By service and version: the variables may be what makes it slow, not the template.
        self._pace = CpuBudget(clock, burst=BURST_SECONDS, share=SLOW_SHARE)
        self._costs = CostTracker(clock, free=FREE_SECONDS, burst=COSTLY_BURST_SECONDS, share=COSTLY_SHARE)
        self._queues: dict[Payer, _PayerQueue] = {}
        self._log = get_logger()

    def get_secret_erasure(self, delivery: Delivery) -> SecretErasure | None:
        """Return what is secret in a mail that was rendered lately; None: nothing."""
        return self._sources.get_secret_erasure(delivery.template_version_id)

    async def have_images(self, versions: Sequence[UUID | None]) -> bool:
        """Return True if mails of any of the versions may carry images."""
        return await self._sources.have_images(versions)

    def is_costly(self, claimed: ClaimedDelivery) -> bool:
        """Return True if it is to be rendered alone: mails like it were costly or failed a short time ago."""
        return self._is_costly(_get_payer(claimed))

    async def render_mails(
        self, group: Sequence[ClaimedDelivery], files: Sequence[MailAttachment] = ()
    ) -> list[RenderedMail | DeliveryResult]:
        """Render each mail, or say how its claim ends; in order. `files` go with a mail that is rendered alone."""
        if len(group) != 1 or not self.is_costly(group[0]):
            return await self._render(group, files, self._pool, self)
        payer = _get_payer(group[0])
        queue = self._queues.setdefault(payer, _PayerQueue())
        if queue.waiting >= MAX_COSTLY_WAITING:
            return [self._find_throttle(group[0]) or Throttled(wait=timedelta(seconds=QUEUE_SECONDS))]
        queue.waiting += 1
        try:
            async with queue.lock, self._costly_pool.borrow_child() as pool:  # payers take turns, with one mail each
                return await self._render(group, files, pool, None)
        finally:
            queue.waiting -= 1
            if not queue.waiting:
                del self._queues[payer]

    # -- called by the pool while it renders ------------------------------------------------------

    def add_cost(self, job: RenderJob, seconds: float) -> None:
        """Count the CPU time of a mail."""
        self._costs.add((job.payer, job.version), seconds)

    def is_skipped(self, job: RenderJob) -> bool:
        """Return True if the mail has become costly meanwhile, so that others do not wait for it."""
        return self._is_costly((job.payer, job.version))

    # -- details, in call order -------------------------------------------------------------------

    def _is_costly(self, payer: Payer) -> bool:
        return self._pace.has_debt(payer) or self._costs.is_costly(payer)

    async def _render(
        self,
        group: Sequence[ClaimedDelivery],
        files: Sequence[MailAttachment],
        pool: RenderingPool,
        meter: CostMeter | None,
    ) -> list[RenderedMail | DeliveryResult]:
        sources = await self._sources.get_sources([claimed.delivery.template_version_id for claimed in group])
        jobs_or_results = [self._build_job(claimed, sources, files) for claimed in group]
        jobs = [
            (claimed, job) for claimed, job in zip(group, jobs_or_results, strict=True) if isinstance(job, RenderJob)
        ]
        rendered = await pool.render([job for _, job in jobs], sources, meter)
        for (claimed, _), result in zip(jobs, rendered, strict=True):
            # All of them first: `_build_result` asks when the others of a version may be tried.
            self._record_slowness(claimed, result)
        results = (self._build_result(claimed, result) for (claimed, _), result in zip(jobs, rendered, strict=True))
        return [next(results) if isinstance(job, RenderJob) else job for job in jobs_or_results]

    def _build_job(
        self, claimed: ClaimedDelivery, sources: Mapping[str, object], files: Sequence[MailAttachment]
    ) -> RenderJob | DeliveryResult:
        try:
            if (throttle := self._find_throttle(claimed)) is not None:
                return throttle
            job = build_render_job(claimed.delivery, self._policy, files, payer=str(claimed.entry.service_id))
        except Exception as error:  # noqa: BLE001 - an error here must not stop the other mails
            self._log.exception("composing_failed", notification_id=str(claimed.delivery.id))
            return describe_fault(error)
        return job if job.version is None or job.version in sources else self._fail(VERSION_GONE)

    def _record_slowness(self, claimed: ClaimedDelivery, result: RenderedMail | RenderFault | SkippedMail) -> None:
        if isinstance(result, RenderFault) and result.code is FaultCode.TOO_SLOW:
            seconds = MAX_WALL_SECONDS if result is TOO_SLOW_FAULT else MAX_PART_SECONDS
            if self._pace.charge(_get_payer(claimed), seconds):
                service, version = _get_payer(claimed)
                self._log.warning("template_too_slow", service_id=service, version=version)

    def _build_result(
        self, claimed: ClaimedDelivery, result: RenderedMail | RenderFault | SkippedMail
    ) -> RenderedMail | DeliveryResult:
        if isinstance(result, RenderedMail):
            return result
        if isinstance(result, SkippedMail):
            return self._find_throttle(claimed) or NotBegun()
        return NotBegun() if result is STARVED_FAULT else self._fail(result)

    def _find_throttle(self, claimed: ClaimedDelivery) -> Throttled | None:
        """Return how long the mail has to wait because others of its payer took too long; None if it need not."""
        payer = _get_payer(claimed)
        wait = max(self._pace.get_wait(payer), self._costs.get_wait(payer))
        return Throttled(wait=timedelta(seconds=wait)) if wait > 0 else None

    def _fail(self, fault: RenderFault) -> DeliveryResult:
        metrics.RENDER_FAILURES.inc()
        return stop_unrenderable(fault)


def _get_payer(claimed: ClaimedDelivery) -> Payer:
    version = claimed.delivery.template_version_id
    return str(claimed.entry.service_id), str(version) if version else None


def build_render_job(
    delivery: Delivery, policy: RecipientPolicy, attachments: Sequence[MailAttachment] = (), *, payer: str = ""
) -> RenderJob:
    """Build the job for the rendering child; its processor time is charged to `payer`."""
    redirected = policy.envelope_to(delivery.recipient) != delivery.recipient
    return RenderJob(
        version=str(delivery.template_version_id) if delivery.template_version_id else None,
        locale=delivery.locale,
        variables=delivery.variables,
        header=delivery.build_header({ORIGINAL_TO_HEADER: delivery.recipient} if redirected else {}),
        content=delivery.content,
        attachments=list(attachments),
        payer=payer,
    )


class CostTracker:
    """Finds those whose work is costly although it succeeds; it is done last, within a CPU budget.

    Work of at most `free` seconds costs nothing.
    """

    def __init__(self, clock: Clock, *, free: float, burst: float, share: float) -> None:
        self._clock = clock
        self._free = free
        self._budget = CpuBudget(clock, burst=burst, share=share)
        self._seen: dict[Hashable, tuple[float, int]] = {}  # remembered until when, and how often it was costly

    def add(self, who: Hashable, seconds: float) -> None:
        """Record how long a piece of work took."""
        if seconds > self._free:
            now = self._clock.monotonic()
            self._seen = {key: seen for key, seen in self._seen.items() if seen[0] > now}
            self._seen[who] = now + MEMORY_SECONDS, self._seen.get(who, (0.0, 0))[1] + 1
            self._budget.charge(who, seconds)

    def is_costly(self, who: Hashable) -> bool:
        """Return True if their work was costly lately."""
        until, times = self._seen.get(who, (0.0, 0))
        return times >= MIN_COSTLY_TIMES and until > self._clock.monotonic()

    def get_wait(self, who: Hashable) -> float:
        """Return the seconds until they may go on; 0 now."""
        return self._budget.get_wait(who)
