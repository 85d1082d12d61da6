"""Making the mails of deliveries, from the version pinned at submit or from their own content, at a bearable pace."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from uuid import UUID

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.notification import compose
from notifier.notification.compose import VERSION_GONE
from notifier.notification.load import Delivery, Sources
from notifier.notification.recipients import RecipientPolicy
from notifier.notification.verdict import GivenBack, Paced, Verdict, faulted, unrenderable
from notifier.rendering.job import Attachment, FaultCode, Job, Rendered, RenderFault, Untried
from notifier.rendering.language.time_limit import PART_SECONDS
from notifier.rendering.pool import OVERRAN, STARVED, WALL_SECONDS, RenderingPool
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger
from notifier.throttle.pace import Pace


class MailMaker:
    """Makes mails, or says what becomes of them instead."""

    def __init__(self, database: Database, pool: RenderingPool, policy: RecipientPolicy, clock: Clock) -> None:
        self._sources = Sources(database)
        self._pool = pool
        self._policy = policy
        self._pace = Pace(clock)
        self._log = get_logger()

    async def have_images(self, versions: Sequence[UUID | None]) -> bool:
        """Whether any of the versions shows images, which make a mail large."""
        return await self._sources.have_images(versions)

    async def made(self, deliveries: Sequence[Delivery], files: Sequence[Attachment] = ()) -> list[Rendered | Verdict]:
        """The bytes of each mail, or how its claim ends; in order. `files` go with the one mail that has them."""
        sources = await self._sources.of([one.template_version_id for one in deliveries])
        ends: dict[int, Rendered | Verdict] = {}
        jobs: dict[int, Job] = {}
        for number, job in self._jobs(deliveries, files):
            if not isinstance(job, Job):
                ends[number] = job
            elif job.version is not None and job.version not in sources:
                ends[number] = _unrenderable(VERSION_GONE)
            else:
                jobs[number] = job
        rendered = await self._pool.render([*jobs.values()], sources)
        self._learn(jobs.values(), rendered)
        for number, result in zip(jobs, rendered, strict=True):
            ends[number] = result if isinstance(result, Rendered) else self._verdict(deliveries[number], result)
        return [ends[number] for number in range(len(deliveries))]

    def _jobs(self, deliveries: Sequence[Delivery], files: Sequence[Attachment]) -> Iterator[tuple[int, Job | Verdict]]:
        for number, delivery in enumerate(deliveries):
            try:
                yield number, self._paced(delivery) or compose.job(delivery, self._policy, files)
            except Exception as error:  # noqa: BLE001 - a row that raises here must not stop its neighbours
                self._log.exception("composing_failed", notification_id=str(delivery.id))
                yield number, faulted(error)

    def _learn(self, jobs: Iterable[Job], rendered: Sequence[object]) -> None:
        """Count what took too long, before it is said when the others of its version may be tried."""
        for job, result in zip(jobs, rendered, strict=True):
            if isinstance(result, RenderFault) and result.code is FaultCode.TOO_SLOW and job.version is not None:
                self._pace.burnt(job.version, WALL_SECONDS if result is OVERRAN else PART_SECONDS)

    def _verdict(self, delivery: Delivery, result: RenderFault | Untried) -> Verdict:
        if isinstance(result, Untried):
            return self._paced(delivery) or GivenBack()
        if result is STARVED:
            return GivenBack()
        return _unrenderable(result)

    def _paced(self, delivery: Delivery) -> Paced | None:
        """Not now, if mails of its version take too long."""
        version = delivery.template_version_id
        wait = self._pace.wait(str(version)) if version is not None else 0.0
        return Paced(wait=timedelta(seconds=wait)) if wait > 0 else None


def _unrenderable(fault: RenderFault) -> Verdict:
    metrics.RENDER_FAILURES.inc()
    return unrenderable(fault)
