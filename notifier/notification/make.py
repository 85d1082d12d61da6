"""Render the mails of claimed notifications, from the pinned version or their own content, within a CPU budget."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import msgspec

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.notification import compose
from notifier.notification.compose import VERSION_GONE
from notifier.notification.load import Delivery, Sources
from notifier.notification.recipients import RecipientPolicy
from notifier.notification.verdict import GivenBack, Paced, Verdict, faulted, unrenderable
from notifier.outbox.handler import Claimed
from notifier.rendering.job import Attachment, FaultCode, Job, Rendered, RenderFault, Untried
from notifier.rendering.language.time_limit import PART_SECONDS
from notifier.rendering.meter import Meter
from notifier.rendering.on_demand import PoolOnDemand
from notifier.rendering.pool import OVERRAN, STARVED, WALL_SECONDS, RenderingPool
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger
from notifier.throttle.pace import Costs, Pace

BURST_SECONDS = 0.5
"""CPU that mails of a version may use at once before they are throttled: two that run into the time limit."""
SHARE = 0.01
"""Share of a CPU that they get from then on: one such mail every 25 seconds."""
FREE_SECONDS = 0.05
"""CPU of one mail that is not counted: many times what a usual one takes."""
COSTLY_BURST_SECONDS = 1.0
"""CPU that costlier mails, if they are rendered at all, may use at once: of one service and version."""
COSTLY_SHARE = 0.5
"""Share of a CPU that they get from then on."""
MAX_WAITING = 4
"""Costly mails of one payer that wait in this process; the others wait in the queue."""
QUEUE_SECONDS = 1.0
"""How long one of the others waits there at least."""

Payer = tuple[str, str | None]
"""A service, and the version of its mails; None for mails with their own content."""


class Work(msgspec.Struct, frozen=True, kw_only=True, gc=False, eq=False):
    """A claimed notification: its outbox entry and what was loaded."""

    entry: Claimed
    delivery: Delivery


@dataclass(eq=False)
class _Lane:
    """The costly mails of one payer, rendered one after the other."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0  # with the one that is being rendered


class MailMaker:
    """Renders mails, or says how their claims end instead."""

    def __init__(
        self, database: Database, pool: RenderingPool, apart: PoolOnDemand, policy: RecipientPolicy, clock: Clock
    ) -> None:
        self._sources = Sources(database)
        self._pool = pool
        self._apart = apart  # for costly mails: one at a time, at lower priority
        self._policy = policy
        # By service and version: the variables may be what makes it slow, not the template.
        self._pace = Pace(clock, burst=BURST_SECONDS, share=SHARE)
        self._costs = Costs(clock, free=FREE_SECONDS, burst=COSTLY_BURST_SECONDS, share=COSTLY_SHARE)
        self._lanes: dict[Payer, _Lane] = {}
        self._log = get_logger()

    async def have_images(self, versions: Sequence[UUID | None]) -> bool:
        """True if mails of any of the versions may carry images."""
        return await self._sources.have_images(versions)

    def is_costly(self, claimed: Work) -> bool:
        """True if it is to be rendered alone: mails like it were costly or failed a short time ago."""
        return self._is_costly(_payer_of(claimed))

    async def made(self, work: Sequence[Work], files: Sequence[Attachment] = ()) -> list[Rendered | Verdict]:
        """Render each mail, or say how its claim ends; in order. `files` go with a mail that is rendered alone."""
        if len(work) != 1 or not self.is_costly(work[0]):
            return await self._made(work, files, self._pool, self)
        payer = _payer_of(work[0])
        lane = self._lanes.setdefault(payer, _Lane())
        if lane.waiting >= MAX_WAITING:
            return [self._paced(work[0]) or Paced(wait=timedelta(seconds=QUEUE_SECONDS))]
        lane.waiting += 1
        try:
            async with lane.lock, self._apart.child() as pool:  # payers take turns, with one mail each
                return await self._made(work, files, pool, None)
        finally:
            lane.waiting -= 1
            if not lane.waiting:
                del self._lanes[payer]

    # -- called by the pool while it renders ------------------------------------------------------

    def add(self, job: Job, seconds: float) -> None:
        """Count the CPU time of a mail."""
        self._costs.add((job.payer, job.version), seconds)

    def leaves_out(self, job: Job) -> bool:
        """True if the mail has become costly meanwhile, so that others do not wait for it."""
        return self._is_costly((job.payer, job.version))

    # -- details, in call order -------------------------------------------------------------------

    def _is_costly(self, payer: Payer) -> bool:
        return self._pace.suspects(payer) or self._costs.is_costly(payer)

    async def _made(
        self, work: Sequence[Work], files: Sequence[Attachment], pool: RenderingPool, meter: Meter | None
    ) -> list[Rendered | Verdict]:
        sources = await self._sources.of([claimed.delivery.template_version_id for claimed in work])
        jobs_or_results = [self._begun(claimed, sources, files) for claimed in work]
        jobs = [(claimed, job) for claimed, job in zip(work, jobs_or_results, strict=True) if isinstance(job, Job)]
        rendered = await pool.render([job for _, job in jobs], sources, meter)
        for (claimed, _), result in zip(jobs, rendered, strict=True):
            self._learn(claimed, result)  # all of them first: `_end` asks when the others of a version may be tried
        ends = (self._end(claimed, result) for (claimed, _), result in zip(jobs, rendered, strict=True))
        return [next(ends) if isinstance(job, Job) else job for job in jobs_or_results]

    def _begun(self, claimed: Work, sources: Mapping[str, object], files: Sequence[Attachment]) -> Job | Verdict:
        try:
            if (paced := self._paced(claimed)) is not None:
                return paced
            job = compose.job(claimed.delivery, self._policy, files, payer=str(claimed.entry.service_id))
        except Exception as error:  # noqa: BLE001 - an error here must not stop the other mails
            self._log.exception("composing_failed", notification_id=str(claimed.delivery.id))
            return faulted(error)
        return job if job.version is None or job.version in sources else self._failed(VERSION_GONE)

    def _learn(self, claimed: Work, result: Rendered | RenderFault | Untried) -> None:
        if isinstance(result, RenderFault) and result.code is FaultCode.TOO_SLOW:
            seconds = WALL_SECONDS if result is OVERRAN else PART_SECONDS
            if self._pace.burnt(_payer_of(claimed), seconds):
                service, version = _payer_of(claimed)
                self._log.warning("template_too_slow", service_id=service, version=version)

    def _end(self, claimed: Work, result: Rendered | RenderFault | Untried) -> Rendered | Verdict:
        if isinstance(result, Rendered):
            return result
        if isinstance(result, Untried):
            return self._paced(claimed) or GivenBack()
        return GivenBack() if result is STARVED else self._failed(result)

    def _paced(self, claimed: Work) -> Paced | None:
        """How long the mail has to wait because others of its payer took too long; None if it need not."""
        payer = _payer_of(claimed)
        wait = max(self._pace.wait(payer), self._costs.wait(payer))
        return Paced(wait=timedelta(seconds=wait)) if wait > 0 else None

    def _failed(self, fault: RenderFault) -> Verdict:
        metrics.RENDER_FAILURES.inc()
        return unrenderable(fault)


def _payer_of(claimed: Work) -> Payer:
    version = claimed.delivery.template_version_id
    return str(claimed.entry.service_id), str(version) if version else None
