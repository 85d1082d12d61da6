"""Making the mails of deliveries, from the version pinned at submit or from their own content, at a bearable pace."""

import asyncio
from collections.abc import Mapping, Sequence
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
from notifier.rendering.on_demand import PoolOnDemand
from notifier.rendering.pool import OVERRAN, STARVED, WALL_SECONDS, RenderingPool
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger
from notifier.throttle.pace import Pace

BURST_SECONDS = 0.5
"""That a version's mails may burn at once: as much as two that are stopped by their time limit."""
SHARE = 0.01
"""Of a processor, that they have from then on: one such mail every 25 seconds."""


class Work(msgspec.Struct, frozen=True, kw_only=True, gc=False, eq=False):
    """One claimed notification on its way through the steps."""

    entry: Claimed
    delivery: Delivery


class MailMaker:
    """Makes mails, or says how their claims end instead."""

    def __init__(
        self, database: Database, pool: RenderingPool, apart: PoolOnDemand, policy: RecipientPolicy, clock: Clock
    ) -> None:
        self._sources = Sources(database)
        self._pool = pool
        self._apart = apart  # for versions that have been slow: one batch at a time, behind everybody else
        self._policy = policy
        # Of a service with a version: what it sends may be what is slow.
        self._pace = Pace(clock, burst=BURST_SECONDS, share=SHARE)
        self._log = get_logger()

    async def have_images(self, versions: Sequence[UUID | None]) -> bool:
        """Whether mails of any of the versions may carry images."""
        return await self._sources.have_images(versions)

    async def made(self, work: Sequence[Work], files: Sequence[Attachment] = ()) -> list[Rendered | Verdict]:
        """The bytes of each mail, or how its claim ends; in order. `files` go with a mail that is made alone."""
        suspect = [self._pace.suspects(_whose(one)) for one in work]
        if not any(suspect):
            return await self._made(work, files, self._pool)
        others = [one for one, is_suspect in zip(work, suspect, strict=True) if not is_suspect]
        slow = [one for one, is_suspect in zip(work, suspect, strict=True) if is_suspect]
        made = await asyncio.gather(self._made(others, files, self._pool), self._made_apart(slow, files))
        ends = [iter(results) for results in made]
        return [next(ends[is_suspect]) for is_suspect in suspect]

    async def _made_apart(self, work: Sequence[Work], files: Sequence[Attachment]) -> list[Rendered | Verdict]:
        async with self._apart.child() as pool:  # what one batch burns is known before the next begins
            return await self._made(work, files, pool)

    async def _made(
        self, work: Sequence[Work], files: Sequence[Attachment], pool: RenderingPool
    ) -> list[Rendered | Verdict]:
        sources = await self._sources.of([one.delivery.template_version_id for one in work])
        begun = [self._begun(one, sources, files) for one in work]
        jobs = [(one, job) for one, job in zip(work, begun, strict=True) if isinstance(job, Job)]
        rendered = await pool.render([job for _, job in jobs], sources)
        for (one, _), result in zip(jobs, rendered, strict=True):
            self._learn(one, result)  # of all of them, before it is said when the others of a version may be tried
        ends = (self._end(one, result) for (one, _), result in zip(jobs, rendered, strict=True))
        return [next(ends) if isinstance(job, Job) else job for job in begun]

    def _begun(self, one: Work, sources: Mapping[str, object], files: Sequence[Attachment]) -> Job | Verdict:
        try:
            if (paced := self._paced(one)) is not None:
                return paced
            job = compose.job(one.delivery, self._policy, files)
        except Exception as error:  # noqa: BLE001 - a row that raises here must not stop its neighbours
            self._log.exception("composing_failed", notification_id=str(one.delivery.id))
            return faulted(error)
        return job if job.version is None or job.version in sources else self._failed(VERSION_GONE)

    def _learn(self, one: Work, result: Rendered | RenderFault | Untried) -> None:
        if isinstance(result, RenderFault) and result.code is FaultCode.TOO_SLOW:
            seconds = WALL_SECONDS if result is OVERRAN else PART_SECONDS
            if self._pace.burnt(_whose(one), seconds):
                service, version = map(str, _whose(one))
                self._log.warning("template_too_slow", service_id=service, version=version)

    def _end(self, one: Work, result: Rendered | RenderFault | Untried) -> Rendered | Verdict:
        if isinstance(result, Rendered):
            return result
        if isinstance(result, Untried):
            return self._paced(one) or GivenBack()
        return GivenBack() if result is STARVED else self._failed(result)

    def _paced(self, one: Work) -> Paced | None:
        """Not now, because too many of the service's mails of that version have taken too long."""
        wait = self._pace.wait(_whose(one))
        return Paced(wait=timedelta(seconds=wait)) if wait > 0 else None

    def _failed(self, fault: RenderFault) -> Verdict:
        metrics.RENDER_FAILURES.inc()
        return unrenderable(fault)


def _whose(one: Work) -> tuple[UUID, UUID | None]:
    return one.entry.service_id, one.delivery.template_version_id
