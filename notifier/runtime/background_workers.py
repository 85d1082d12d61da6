"""The other work of a sender process: webhooks, jobs and cancelled batches.

Each kind has its own worker and slots, so that it never delays mail.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from notifier.jobs.job_handler import JobHandler
from notifier.jobs.schedule_ticker import ScheduleTicker
from notifier.outbox.wakeup import DelayedWakeup, Wakeup
from notifier.outbox.work_watch import WorkWatch
from notifier.runtime.job_actions import build_job_actions
from notifier.runtime.process_parts import ProcessParts
from notifier.states import EntryKind, JobKind
from notifier.status.batch_cancellation import BatchCancellationHandler
from notifier.webhooks.endpoint_client import EndpointClient
from notifier.webhooks.endpoint_secret import SecretBox
from notifier.webhooks.pinned_connection import HostResolver
from notifier.webhooks.webhook_handler import WebhookHandler

RESOLVING_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class SideWork:
    """The handler of one kind of work, and the wake-up of its worker."""

    handler: WebhookHandler | JobHandler | BatchCancellationHandler
    wakeup: Wakeup


@contextlib.contextmanager
def open_side_work(parts: ProcessParts) -> Iterator[tuple[SideWork, ...]]:
    """Open the handlers of all side work until the block ends."""
    with _open_webhooks(parts) as webhooks, _open_jobs(parts) as jobs:
        batches = SideWork(handler=BatchCancellationHandler(parts.database, parts.clock), wakeup=Wakeup())
        yield webhooks, jobs, batches


@contextlib.contextmanager
def _open_jobs(parts: ProcessParts) -> Iterator[SideWork]:
    """Open the handler of jobs. Its worker wakes up with the mail worker, as requests begin jobs."""
    wakeup = DelayedWakeup()
    parts.wakeup.followers.append(wakeup)
    try:
        yield SideWork(handler=JobHandler(parts.database, build_job_actions(parts), parts.clock), wakeup=wakeup)
    finally:
        parts.wakeup.followers.remove(wakeup)


@contextlib.asynccontextmanager
async def watch_for_work(parts: ProcessParts, side_work: Iterable[SideWork]) -> AsyncIterator[None]:
    """Wake idle workers when something is due, and begin the runs of schedules, until the block ends."""
    wakeups = {work.handler.kind: work.wakeup for work in side_work} | {EntryKind.EMAIL: parts.wakeup}
    watchers: list[WorkWatch | ScheduleTicker] = [WorkWatch(parts.database, wakeups, parts.clock)]
    if parts.settings.sender.schedules:
        built_in = frozenset({JobKind.PURGE, JobKind.STATISTICS})
        watchers.append(ScheduleTicker(parts.database, parts.clock, parts.wakeup, built_in=built_in))
    watching = {asyncio.create_task(watcher.run()) for watcher in watchers}
    try:
        yield
    finally:
        for watcher in watchers:
            watcher.stop()
        await asyncio.wait(watching)


@contextlib.contextmanager
def _open_webhooks(parts: ProcessParts) -> Iterator[SideWork]:
    """Open the webhook handler. Its worker wakes up with the mail worker, which may have caused webhooks."""
    settings, wakeup = parts.settings.webhooks, DelayedWakeup()
    resolver = HostResolver(min(settings.concurrency, RESOLVING_THREADS))
    caller = EndpointClient(resolver, clock=parts.clock, settings=settings)
    parts.wakeup.followers.append(wakeup)
    try:
        box = SecretBox.from_setting(parts.settings.secret_key)
        yield SideWork(
            handler=WebhookHandler(parts.database, caller, box, settings=settings, clock=parts.clock), wakeup=wakeup
        )
    finally:
        parts.wakeup.followers.remove(wakeup)
        resolver.close()
