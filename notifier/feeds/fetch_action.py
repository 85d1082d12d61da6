"""The job that loads a feed. `prepare` loads and reads the document; `apply` writes it as a revision.

A document that could not be loaded or is not valid ends the run as failed with one sentence, and changes nothing but
what the feed says of its last attempt. The next planned time tries again.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import Fault, IdempotencyKeyReusedError
from notifier.feeds import feed_rules, feed_store, reading_process, revision_store
from notifier.feeds.document_reader import ReadDocument, ReadingTask, RejectedDocument
from notifier.feeds.feed_client import FeedClient, FeedLoadError, FeedSource, LoadedDocument
from notifier.feeds.feed_store import FeedView, StaleFeedError
from notifier.feeds.revision_store import NewRevision
from notifier.jobs import job_store
from notifier.jobs.job_action import (
    JobAction,
    JobFailedError,
    JobRunView,
    StepContext,
    StepInterruptedError,
    StepResult,
)
from notifier.jobs.job_store import NewJobRun
from notifier.states import JobKind, JobState
from notifier.webhooks.endpoint_secret import SecretBox, UnreadableSecretError

_STOP_POLL_SECONDS = 0.2
_CONFIRM = "it is not used before a person confirms it (POST /v1/feeds/{name}/confirm, or notifier feeds confirm)"
UNREADABLE = "a header field was encrypted under a key that NOTIFIER_SECRET_KEY does not have: save the feed again"


@dataclass(frozen=True, kw_only=True)
class PreparedFetch:
    """What `prepare` has loaded for `apply`."""

    feed: FeedView  # as it was then
    loaded: LoadedDocument | None  # None: the server says that the document has not changed
    read: ReadDocument | None


class FetchAction(JobAction):
    """Loads one feed, in one step; one more if its document must be confirmed."""

    kind = JobKind.FETCH

    def __init__(self, database: Database, client: FeedClient, box: SecretBox, clock: Clock) -> None:
        self._database = database
        self._client = client
        self._box = box
        self._clock = clock

    def find_option_faults(self, options: Mapping[str, Any], *, pointer: str) -> list[Fault]:
        """Find the faults in the options: the name of a feed, and nothing else."""
        return feed_rules.find_option_faults(options, pointer)

    async def prepare(self, run: JobRunView, context: StepContext) -> PreparedFetch:
        """Load the document, and read it in a child process. Raises `JobFailedError`, `StepInterruptedError`."""
        if run.cursor and run.state is JobState.RUNNING:  # a retry of the run begins as queued
            raise JobFailedError(str(run.cursor["unconfirmed"]))
        async with self._database.read() as connection:
            feed = await feed_store.find_feed(connection, run.service_id, str(run.options["feed"]))
            if feed is None:
                raise JobFailedError(f"there is no feed named {run.options['feed']!r}: save it, or change the schedule")
            previous = await revision_store.find_document(connection, feed)
        loaded = await self._load(feed, context, may_be_unchanged=previous is not None)
        if loaded is None:
            return PreparedFetch(feed=feed, loaded=None, read=None)
        task = ReadingTask(
            format=feed.format,
            body=loaded.body,
            charset=loaded.charset,
            json_schema=dict(feed.json_schema) if feed.json_schema is not None else None,
            row_key=feed.row_key,
            previous=previous,
        )
        read = await asyncio.to_thread(reading_process.read_in_child, task, is_wanted=lambda: not context.is_stopping())
        if read is None:
            raise StepInterruptedError
        if isinstance(read, RejectedDocument):
            raise JobFailedError(read.reason)
        return PreparedFetch(feed=feed, loaded=loaded, read=read)

    async def apply(
        self, connection: AsyncConnection, run: JobRunView, prepared: Any, context: StepContext
    ) -> StepResult:
        """Write the document as a revision, unless the feed or its newest revision has changed meanwhile."""
        fetch: PreparedFetch = prepared
        feed = await feed_store.find_feed(connection, run.service_id, fetch.feed.name, lock=True)
        if feed is None or not _is_same(feed, fetch.feed):
            return StepResult(cursor={}, log=["the feed was changed meanwhile: it is loaded again"])
        if fetch.loaded is None or fetch.read is None:
            await feed_store.record_success(
                connection, feed, context.now, etag=feed.etag, last_modified=feed.last_modified
            )
            return StepResult(is_done=True, counts={"unchanged": 1}, log=["the server says that nothing has changed"])
        return await _write_document(connection, feed, fetch.loaded, fetch.read, context)

    async def follow_change(
        self, connection: AsyncConnection, run: JobRunView, state: JobState, error: str | None
    ) -> None:
        """Show on the feed why the run has failed."""
        if state is not JobState.FAILED or error is None:
            return
        feed = await feed_store.find_feed(connection, run.service_id, str(run.options["feed"]), lock=True)
        was_confirmed = run.cursor and error == run.cursor.get("unconfirmed") and feed and not feed.unconfirmed
        if feed is not None and not was_confirmed:
            await feed_store.record_failure(connection, feed.id, error, self._clock.now())

    async def _load(self, feed: FeedView, context: StepContext, *, may_be_unchanged: bool) -> LoadedDocument | None:
        """Load the document, and stop if this process stops. Raises `JobFailedError`, `StepInterruptedError`."""
        try:
            headers = {name: self._box.open(value) for name, value in feed.header_fields.items()}
        except UnreadableSecretError as error:
            raise JobFailedError(UNREADABLE) from error
        source = FeedSource(
            url=feed.url,
            headers=headers,
            format=feed.format,
            max_bytes=feed.max_bytes,
            timeout_seconds=feed.timeout_seconds,
            etag=feed.etag if may_be_unchanged else None,
            last_modified=feed.last_modified if may_be_unchanged else None,
        )
        loading = asyncio.create_task(self._client.load_document(source))
        try:
            while not (await asyncio.wait({loading}, timeout=_STOP_POLL_SECONDS))[0]:
                if context.is_stopping():
                    raise StepInterruptedError
            return loading.result()
        except FeedLoadError as error:
            raise JobFailedError(str(error)) from error
        finally:
            if not loading.done():
                loading.cancel()
                await asyncio.wait({loading})


async def request_fetch(
    connection: AsyncConnection, service_id: UUID, name: str, *, actor: Actor, idempotency_key: str | None = None
) -> tuple[JobRunView, bool]:
    """Begin a run that loads the feed now.

    Returns the run, and whether an earlier request with this key has created it. Raises `NotFoundError`,
    `IdempotencyKeyReusedError`, `StaleFeedError` for two requests with one key at the same moment.
    """
    feed = await feed_store.get_feed(connection, service_id, name)
    if idempotency_key is not None:
        earlier = await job_store.find_run_by_key(connection, service_id, idempotency_key)
        if earlier is not None:
            if (earlier.kind, earlier.subject_id) != (JobKind.FETCH, feed.id):
                raise IdempotencyKeyReusedError
            actor.record_no_change()
            return earlier, True
    new = NewJobRun(
        service_id=service_id,
        kind=JobKind.FETCH,
        created_by=actor.name,
        options={"feed": name},
        subject_id=feed.id,
        idempotency_key=idempotency_key,
    )
    run = await job_store.create_run(connection, new, actor.at)
    if run is None:
        raise StaleFeedError("another request with this Idempotency-Key is being written: send it again")
    await feed_store.record_feed(connection, AuditAction.FEED_REQUESTED, feed, feed, actor)
    return run, False


async def _write_document(
    connection: AsyncConnection, feed: FeedView, loaded: LoadedDocument, read: ReadDocument, context: StepContext
) -> StepResult:
    new = NewRevision(
        document=read.document,
        size=read.size,
        sha256=read.sha256,
        entries=read.entries,
        added=read.added,
        removed=read.removed,
        changed=read.changed,
    )
    if read.sha256 == await revision_store.find_newest_digest(connection, feed):
        await feed_store.record_success(
            connection, feed, context.now, etag=loaded.etag, last_modified=loaded.last_modified
        )
        return StepResult(is_done=True, counts={"unchanged": 1}, log=["the document is the same as before"])
    if read.emptied is not None:
        reason = f"the document is suddenly empty: {read.emptied}; {_CONFIRM.format(name=feed.name)}"
        await revision_store.write_unconfirmed(connection, feed, new, context.now, reason=reason)
        return StepResult(cursor={"unconfirmed": reason})
    number = await revision_store.write_revision(connection, feed, new, context.now)
    await feed_store.record_success(connection, feed, context.now, etag=loaded.etag, last_modified=loaded.last_modified)
    counts = {"entries": read.entries, "added": read.added, "removed": read.removed, "changed": read.changed}
    line = f"revision {number}: {read.entries:,} entries, {read.added:,} added, {read.removed:,} removed"
    return StepResult(is_done=True, counts=counts, log=[f"{line}, {read.changed:,} changed"])


def _is_same(feed: FeedView, before: FeedView) -> bool:
    """Whether neither the settings of the feed nor its newest revision have changed."""
    return (feed.id, feed.revision, feed.latest_number) == (before.id, before.revision, before.latest_number)
