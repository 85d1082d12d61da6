"""Each method for jobs, schedules, feeds, merges and statistics, called once against the real API."""

import asyncio
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from integration.client.recording_client import RecordingClient
from support.job_runner import JobRunner
from support.webhook_receiver import WebhookReceiver, build_reply

from notifier.client import ConflictError, InvalidRequestError, Job, Merge, NotFoundError
from notifier.runtime import wiring
from notifier.states import JobKind

NOTIFY: dict[str, Any] = {
    "timing": "0 9 * * *",
    "zone": "Europe/Berlin",
    "action": "notify",
    "options": {
        "to": "ada@example.com",
        "template": "welcome",
        "variables": {"name": "Ada", "product": "Larkspur"},
    },
}
PEOPLE = Path("examples", "merge.csv")  # five rows, two of them with faults
PEOPLE_BYTES = PEOPLE.stat().st_size
DAY = timedelta(days=1)


async def _watch(shop: RecordingClient, parts: wiring.ProcessParts, id_: str) -> list[Job]:
    """Watch a job while a sender works on it; return what the stream has sent."""
    watching = asyncio.create_task(shop("jobs.watch", id_))
    async with wiring.run_sender(parts):
        seen: list[Job] = await watching
    return seen


async def walk_jobs(shop: RecordingClient, parts: wiring.ProcessParts, receiver: WebhookReceiver) -> None:
    """A job is paused, resumed, watched until it fails, retried, watched to its end, and another one is cancelled."""
    receiver.script(build_reply("500 Oops"), build_reply("200 OK", b'{"currency": "EUR"}'), path="/feed")
    await shop("feeds.save", "prices", url=receiver.url("/feed"))
    job = await shop("feeds.fetch", "prices")
    assert (job.state, job.kind, job.progress, job.replayed) == ("queued", "fetch", 0, False)
    for _twice in range(2):
        assert (await shop("jobs.pause", job.id)).state == "paused"
    assert (await shop("jobs.resume", job.id)).state == "queued"
    failed = (await _watch(shop, parts, job.id))[-1]
    assert (failed.state, failed.log[-1].text) == ("failed", failed.error)
    (listed,) = await shop("jobs.list", state="failed", kind="fetch", limit=1)
    assert (listed.id, listed.log, listed.error) == (job.id, (), failed.error)
    assert (await shop("jobs.retry", job.id)).state == "queued"
    done = (await _watch(shop, parts, job.id))[-1]
    assert (done.state, done.progress, done.counts["added"]) == ("succeeded", 100, 1)
    assert done == await shop("jobs.get", job.id)
    with pytest.raises(ConflictError):
        await shop("jobs.retry", job.id)
    other = await shop("feeds.fetch", "prices")
    for _twice in range(2):
        assert (await shop("jobs.cancel", other.id)).state == "cancelled"
    with pytest.raises(NotFoundError):
        await shop("jobs.watch", "0192f0c1-2345-7000-8000-000000000000")


async def walk_schedules(shop: RecordingClient, parts: wiring.ProcessParts, _: WebhookReceiver) -> None:
    """A schedule is saved, changed, run once by two requests with one key, and deleted."""
    saved = await shop("schedules.save", "morning", **NOTIFY, revision=0)
    assert (saved.action, saved.zone, saved.catch_up, saved.overlap, saved.revision) == (
        "notify",
        "Europe/Berlin",
        "one",
        "skip",
        1,
    )
    with pytest.raises(ConflictError):
        await shop("schedules.save", "morning", **NOTIFY, revision=0)
    times = await shop("schedules.next_times", "morning", count=3)
    assert (times[0], len(times)) == (saved.next_at, 3)
    off = await shop("schedules.save", "morning", **NOTIFY, enabled=False, overlap="queue", revision=1)
    assert (off.enabled, off.next_at, off.overlap) == (False, None, "queue")
    assert await shop("schedules.list") == [await shop("schedules.get", "morning")] == [off]
    jobs = [await shop("schedules.run", "morning", idempotency_key="monday") for _ in range(2)]
    assert ([job.id for job in jobs], [job.replayed for job in jobs]) == ([jobs[0].id] * 2, [False, True])
    assert (await shop("schedules.run", "morning")).id != jobs[0].id
    assert (await _watch(shop, parts, jobs[0].id))[-1].state == "succeeded"
    on = await shop("schedules.switch", "morning", enabled=True)
    assert (on.enabled, on.revision) == (True, off.revision + 1)
    (planned,) = await shop("schedules.save_all", {"evening": NOTIFY}, dry_run=True)
    assert (planned.name, planned.change) == ("evening", "created")
    assert await shop("schedules.save_all", {"evening": NOTIFY}) == (planned,)
    assert await shop("schedules.delete", "evening") is None
    assert await shop("schedules.delete", "morning") is None
    assert await shop("schedules.list") == []
    assert len(await shop("jobs.list", schedule="morning", limit=1)) == 2


async def walk_feeds(shop: RecordingClient, parts: wiring.ProcessParts, receiver: WebhookReceiver) -> None:
    """A feed is loaded twice, and its empty document is confirmed; the values of its headers are never returned."""
    rows, schema = b'[{"id": 1, "name": "Ada"}]', {"type": "array"}
    receiver.script(build_reply("200 OK", rows), build_reply("200 OK", b"[]"), path="/feed")
    settings = {"url": receiver.url("/feed"), "headers": {"X-Key": "canary"}, "json_schema": schema, "row_key": "id"}
    saved = await shop("feeds.save", "people", **settings, revision=0)
    assert (saved.status, saved.header_names, saved.json_schema, saved.revision) == ("new", ("X-Key",), schema, 1)
    first = await shop("feeds.fetch", "people", idempotency_key="first")
    assert (await shop("feeds.fetch", "people", idempotency_key="first")).replayed
    await _watch(shop, parts, first.id)
    await _watch(shop, parts, (await shop("feeds.fetch", "people")).id)
    feed = await shop("feeds.get", "people")
    assert (feed.status, feed.latest_number, feed.unconfirmed.removed, "canary" in repr(feed)) == (
        "unconfirmed",
        1,
        1,
        False,
    )
    assert (await shop("feeds.confirm", "people")).status == "good"
    revisions = await shop("feeds.revisions", "people")
    assert [(revision.number, revision.entries) for revision in revisions] == [(2, 0), (1, 1)]
    assert revisions[0].confirmed_by.startswith("key:")
    documents = [(await shop("feeds.revision", "people", number)).document for number in (1, "2")]
    assert documents == [({"id": 1, "name": "Ada"},), ()]
    assert [item.id for item in await shop("feeds.list")] == [feed.id]
    assert await shop("feeds.delete", "people") is None
    with pytest.raises(NotFoundError):
        await shop("feeds.get", "people")


async def _check(shop: RecordingClient, parts: wiring.ProcessParts, merge: Merge) -> Merge:
    """Let a sender check the rows; return the merge then."""
    await _watch(shop, parts, str(merge.job_id))
    checked: Merge = await shop("merges.get", merge.id)
    return checked


async def walk_merges(shop: RecordingClient, parts: wiring.ProcessParts, _: WebhookReceiver) -> None:
    """A file is uploaded as a path, and an open one; its faults are shown, and its good rows are submitted."""
    made = await shop("merges.create", PEOPLE, template="welcome")
    assert (made.state, made.size, made.submitted) == ("checking", PEOPLE_BYTES, None)
    for _twice in range(2):
        assert (await shop("merges.pause", made.id)).state == "paused"
    assert (await shop("merges.resume", made.id)).state == "checking"
    merge = await _check(shop, parts, made)
    assert (merge.state, merge.rows, merge.valid, merge.faulty, merge.format) == ("checked", 5, 3, 2, "csv")
    assert [column.field for column in merge.columns] == ["to", "name", "product"]
    assert [column.statistics.filled for column in merge.columns if column.statistics] == [5, 4, 5]
    faults = await shop("merges.faults", merge.id, limit=1)
    assert [(row.row, row.faults[0].column) for row in faults] == [(4, "E-Mail Address"), (5, "Name")]
    corrected = (await shop("merges.faults_csv", merge.id)).replace(b"carol@example,", b"carol@example.com,")
    assert (await shop("merges.preview", merge.id)).subject == "Welcome to Larkspur, Ada"
    with pytest.raises(InvalidRequestError):
        await shop("merges.preview", merge.id, 4)
    with pytest.raises(ConflictError):
        await shop("merges.start", merge.id)
    for _twice in range(2):
        started = await shop("merges.start", merge.id, on_error="skip_invalid")
        assert (started.start.on_error, started.submitted.size, started.submitted.left_out) == ("skip_invalid", 3, 0)
    await _watch(shop, parts, started.job_id)
    done = await shop("merges.get", merge.id)
    assert (done.state, done.submitted.written, done.submitted.left_out) == ("finished", 3, 2)
    assert (done.submitted.statuses["sent"], (await shop("batch", merge.id)).accepted) == (3, 3)
    file, heading = io.BytesIO(corrected), {"What is wrong": ""}
    made = await shop("merges.create", file, template="welcome", map_=heading, content_type="text/csv")
    other = await _check(shop, parts, made)
    assert (other.valid, other.columns[-1].field) == (1, None)
    later = datetime.now(UTC) + DAY
    waiting = await shop("merges.start", other.id, on_error="skip_invalid", send_at=later, duplicates="all")
    assert (waiting.start.send_at, waiting.start.duplicates, waiting.start.per_minute) == (later, "all", None)
    for _twice in range(2):
        assert (await shop("merges.cancel", other.id)).state == "cancelled"
    assert [item.valid for item in await shop("merges.list", limit=1)] == [1, 3]


async def walk_statistics(shop: RecordingClient, parts: wiring.ProcessParts, _: WebhookReceiver) -> None:
    """A mail that was sent is counted in the hour of its submission."""
    begun = datetime.now(UTC)
    await shop("send", to="ada@example.com", template="welcome", variables={"name": "Ada", "product": "Larkspur"})
    async with wiring.run_sender(parts) as running:
        await running.drain()
    runner = JobRunner(parts)
    await runner.begin(JobKind.STATISTICS, {}, begun, name="statistics")
    await runner.run_due()
    figures = await shop("statistics", by="hour", from_=begun, zone="Europe/Berlin", template="welcome")
    assert (figures.by, figures.zone, figures.whole.total, figures.whole.sent) == ("hour", "Europe/Berlin", 1, 1)
    assert (figures.periods[0].start <= begun < figures.periods[-1].end, figures.counted_at >= begun) == (True, True)
    assert 0 <= figures.whole.seconds_p50 <= figures.whole.seconds_p95
    assert (await shop("statistics", to=begun - DAY)).whole.total == 0
    with pytest.raises(InvalidRequestError):
        await shop("statistics", service="other")
