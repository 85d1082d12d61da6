"""What a purge deletes, and what it keeps, on both databases."""

import contextlib
import uuid
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert, update
from support.aged_rows import DAY, AgedMail, AgedRows, generate_id_of
from support.purge_runs import build_context, build_run, iterate_steps, run_purge
from support.seeded_installation import Installation

from notifier.db.engine import Database
from notifier.db.tables import (
    INSTANCE,
    Attempt,
    AuditEntry,
    Batch,
    JobRun,
    Notification,
    NotificationContent,
    NotificationEvent,
    NotificationTag,
    StatusIndex,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEvent,
    get_columns,
)
from notifier.health.table_sizes import DatabaseSize, measure_database
from notifier.ids import generate_id
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import NewEntry
from notifier.retention.purge_action import PurgeAction
from notifier.retention.retention_policy import RetentionPolicy
from notifier.states import EntryKind, JobKind, JobState, Priority, Status

CONTENT_ID = "notification_id"


async def test_content_goes_after_a_week_and_the_notification_after_a_quarter(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime
) -> None:
    """Content is erased seven days after the end, and the notification with its children 90 days after it."""
    shop = await rows.get_service()
    fresh, week_old, quarter_old = [
        await rows.add_mail(AgedMail(service_id=shop, ended_at=now - age, events=1, tags=["a"]))
        for age in (7 * DAY - timedelta(minutes=1), 7 * DAY, 90 * DAY)
    ]
    await run_purge(database, policy, now)
    assert await rows.list_ids(NotificationContent, CONTENT_ID) == {fresh}
    for table, column in ((Notification, "id"), (Attempt, CONTENT_ID), (NotificationEvent, CONTENT_ID)):
        assert await rows.list_ids(table, column) == {fresh, week_old}
    assert await rows.list_ids(NotificationTag, CONTENT_ID) == {fresh, week_old}
    assert quarter_old not in await rows.list_ids(Notification)


@pytest.mark.parametrize("status", [Status.QUEUED, Status.DEFERRED, Status.UNKNOWN])
async def test_a_mail_that_waits_is_kept(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime, status: Status
) -> None:
    """A notification with an outbox entry keeps its content, however old it is."""
    shop = await rows.get_service()
    mail = await rows.add_mail(AgedMail(service_id=shop, ended_at=now - 900 * DAY, status=status, has_entry=True))
    await run_purge(database, policy, now)
    assert await rows.list_ids(NotificationContent, CONTENT_ID) == {mail}


async def test_unknown_that_nobody_resolved_counts_as_ended(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime
) -> None:
    """An unknown mail without an entry was closed when it expired, and is kept as long from then on."""
    shop = await rows.get_service()
    closed = await rows.add_mail(AgedMail(service_id=shop, ended_at=now - 8 * DAY, status=Status.UNKNOWN))
    await rows.add_mail(AgedMail(service_id=shop, ended_at=now - 91 * DAY, status=Status.UNKNOWN))
    await run_purge(database, policy, now)
    assert await rows.list_ids(NotificationContent, CONTENT_ID) == set()
    assert await rows.list_ids(Notification) == {closed} == await rows.list_ids(StatusIndex, CONTENT_ID)


async def test_a_copy_that_waits_keeps_the_content_of_its_family(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime
) -> None:
    """A family is kept as a whole: the one content for the copy that waits, and the original for its copies."""
    shop, long_ago = await rows.get_service(), now - 200 * DAY
    original = await rows.add_mail(AgedMail(service_id=shop, ended_at=long_ago))
    waiting = AgedMail(service_id=shop, ended_at=long_ago, parent_id=original, status=Status.DEFERRED, has_entry=True)
    copy = await rows.add_mail(waiting)
    ended = await rows.add_mail(AgedMail(service_id=shop, ended_at=long_ago))
    await rows.add_mail(AgedMail(service_id=shop, ended_at=long_ago, parent_id=ended))
    await run_purge(database, policy, now)
    assert await rows.list_ids(NotificationContent, CONTENT_ID) == {original}
    assert await rows.list_ids(Notification) == {original, copy}


async def test_an_idempotency_key_keeps_its_row(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime
) -> None:
    """A notification whose key still counts is kept, also if it is to be deleted at its end."""
    shop, short = (
        await rows.get_service(),
        policy.settings.model_copy(update={"notification_days": 0, "content_days": 0}),
    )
    mails = [
        AgedMail(service_id=shop, ended_at=now - 6 * DAY, created_at=now - age, key=key)
        for age, key in ((7 * DAY - timedelta(minutes=1), "kept"), (7 * DAY, "old"), (6 * DAY, None))
    ]
    kept, *_ = await rows.add_mails(mails)
    await run_purge(database, RetentionPolicy(settings=short, key_lifetime=policy.key_lifetime), now)
    assert await rows.list_ids(Notification) == {kept}
    assert await rows.list_ids(NotificationContent, CONTENT_ID) == set()


async def test_services_and_templates_say_how_long(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime
) -> None:
    """A template goes before its service, a service before the setting, and nothing is kept beyond the ceiling."""
    patient = await rows.add_service("patient", now, keep_content_days=30, keep_notification_days=400)
    greedy = await rows.add_service("greedy", now, keep_content_days=3000, keep_notification_days=3000)
    brief = await rows.add_version("brief", now, days=1)
    cases = [
        (patient, None, 29, True),
        (patient, None, 31, False),
        (patient, brief, 2, False),
        (greedy, None, 89, True),
        (greedy, None, 91, False),
        (await rows.get_service(), brief, 2, False),
    ]
    mails = [AgedMail(service_id=s, version_id=v, ended_at=now - age * DAY) for s, v, age, _ in cases]
    ids = await rows.add_mails(mails)
    old = await rows.add_mails([AgedMail(service_id=s, ended_at=now - 399 * DAY) for s in (patient, greedy)])
    await rows.add_mails([AgedMail(service_id=patient, ended_at=now - 401 * DAY)])
    await rows.add_mails([AgedMail(service_id=greedy, ended_at=now - 731 * DAY)])
    await run_purge(database, policy, now)
    kept = {id_ for id_, (*_, is_kept) in zip(ids, cases, strict=True) if is_kept}
    assert await rows.list_ids(NotificationContent, CONTENT_ID) == kept
    assert await rows.list_ids(Notification) == {*ids, *old}


async def test_webhooks_go_after_a_month(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime
) -> None:
    """Deliveries with attempts are deleted 30 days after their end, and an event after its last delivery."""
    shop = await rows.get_service()
    _, fresh = await rows.add_delivery(shop, now - 40 * DAY, ended_at=now - 29 * DAY)
    await rows.add_delivery(shop, now - 40 * DAY, ended_at=now - 30 * DAY, attempts=3)
    event, pending = await rows.add_delivery(shop, now - 40 * DAY, ended_at=None)
    entry = NewEntry(
        id=generate_id(), kind=EntryKind.WEBHOOK, subject_id=pending, service_id=shop, priority=Priority.NORMAL,
        due_at=now,
    )  # fmt: skip
    async with database.write() as connection:
        await entry_store.enqueue_entries(connection, [entry])
    await run_purge(database, policy, now)
    assert (
        await rows.list_ids(WebhookDelivery) == {fresh, pending} == await rows.list_ids(WebhookAttempt, "delivery_id")
    )
    assert len(await rows.list_ids(WebhookEvent)) == 2
    assert event in await rows.list_ids(WebhookEvent)


async def test_job_runs_and_audit_records_go(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime
) -> None:
    """Ended job runs go after 90 days, roll-ups after one, audit records after two years; an open run stays."""
    run = {"service_id": INSTANCE, "kind": JobKind.IMAGE, "options": {}, "counts": {}, "log": [], "created_by": "test"}
    ages = {"old": 90 * DAY, "fresh": 89 * DAY, "open": 300 * DAY, "routine": 1 * DAY, "failed routine": 2 * DAY}
    ids = {name: generate_id_of(now - age) for name, age in ages.items()}
    record = {"actor": "test", "action": "asset.uploaded", "object_kind": "asset", "object_id": "x"}
    records = {age: generate_id_of(now - age * DAY) for age in (729, 731)}
    async with database.write() as connection:
        for name, age in ages.items():
            at = now - age
            row = run | {"id": ids[name], "created_at": at, "updated_at": at, "state": JobState.SUCCEEDED}
            row |= {"state": JobState.PAUSED} if name == "open" else {"ended_at": at}
            row |= {"kind": JobKind.STATISTICS} if "routine" in name else {}
            row |= {"state": JobState.FAILED} if "failed" in name else {}
            await connection.execute(insert(JobRun).values(row))
        for days, id_ in records.items():
            await connection.execute(insert(AuditEntry).values(record | {"id": id_, "at": now - days * DAY}))
    await run_purge(database, policy, now)
    assert await rows.list_ids(JobRun) == {ids["fresh"], ids["open"], ids["failed routine"]}
    kept = await rows.list_ids(AuditEntry)
    assert records[729] in kept
    assert records[731] not in kept


async def test_batches_go_when_no_notification_is_left(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime
) -> None:
    """A batch is deleted after its last notification; an empty one is kept as long as a notification would be."""
    shop, long_ago = await rows.get_service(), now - 100 * DAY
    names = ("named", "over", "empty", "new", "cancelling")
    ids = {name: uuid.uuid5(UUID(int=0), name) for name in names}
    async with database.write() as connection:
        for name, id_ in ids.items():
            at = now - DAY if name == "new" else long_ago
            row = {"id": id_, "service_id": shop, "created_at": at, "created_by": "test", "size": 1}
            await connection.execute(insert(Batch).values(row))
        entry = NewEntry(
            id=generate_id(), kind=EntryKind.BATCH, subject_id=ids["cancelling"], service_id=shop,
            priority=Priority.HIGH, due_at=now,
        )  # fmt: skip
        await entry_store.enqueue_entries(connection, [entry])
    await rows.add_mail(AgedMail(service_id=shop, ended_at=now - 50 * DAY, batch_id=ids["named"]))
    await rows.add_mail(AgedMail(service_id=shop, ended_at=long_ago, batch_id=ids["over"]))
    await run_purge(database, policy, now)
    assert await rows.list_ids(Batch) == {ids["named"], ids["new"], ids["cancelling"]}


async def test_many_children_take_several_short_steps(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime
) -> None:
    """A step deletes at most its limit of attempts; the notification goes after its last one."""
    shop = await rows.get_service()
    old = AgedMail(service_id=shop, ended_at=now - 91 * DAY, attempts=25, events=12)
    await rows.add_mails([old] * 3)
    action = PurgeAction(database, policy, max_limit=10)
    steps = [result.counts async for result in iterate_steps(database, policy, now, action)]
    assert max(counts.get("attempts", 0) for counts in steps) <= 10
    assert sum(counts.get("attempts", 0) for counts in steps) == 75
    assert await rows.list_ids(Notification) == set()


async def test_a_mail_that_is_retried_meanwhile_is_kept(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime
) -> None:
    """What the status says when the rows are locked counts: a mail that was queued again is not erased."""
    shop = await rows.get_service()
    mail = await rows.add_mail(AgedMail(service_id=shop, ended_at=now - 8 * DAY, status=Status.FAILED))
    columns = get_columns(Notification)
    async with database.write() as connection:
        await connection.execute(update(Notification).where(columns.id == mail).values(updated_at=now))
    await run_purge(database, policy, now)
    assert await rows.list_ids(NotificationContent, CONTENT_ID) == {mail}


class _LostConnectionError(Exception):
    """What a step raises instead of its commit."""


async def test_steps_that_are_rolled_back_are_done_again(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime
) -> None:
    """Every step is rolled back once before its commit: the counts equal the rows, and nothing else is gone."""
    shop = await rows.get_service()
    await rows.add_mails([AgedMail(service_id=shop, ended_at=now - 91 * DAY, attempts=2)] * 60)
    kept = set(await rows.add_mails([AgedMail(service_id=shop, ended_at=now - DAY)] * 5))
    run, counts = build_run(now), Counter[str]()
    is_done = False
    while not is_done:
        for is_lost in (True, False):
            action = PurgeAction(database, policy, max_limit=20)  # as a new process has it
            with contextlib.suppress(_LostConnectionError):
                prepared = await action.prepare(run, build_context(now))
                async with database.write() as connection:
                    result = await action.apply(connection, run, prepared, build_context(now))
                    if is_lost:
                        raise _LostConnectionError
        counts.update(result.counts)
        run, is_done = replace(run, cursor=result.cursor), result.is_done
    del counts["pages"]  # of SQLite
    assert counts == {"contents": 60, "attempts": 120, "notifications": 60}
    assert await rows.list_ids(Notification) == kept == await rows.list_ids(Attempt, CONTENT_ID)


async def _measure(database: Database) -> DatabaseSize:
    async with database.read() as connection:
        return await measure_database(connection)


async def test_a_sqlite_file_shrinks(sqlite_installation: Installation, now: datetime) -> None:
    """A file that this release created gives most of its free pages back in short steps."""
    async with sqlite_installation.open_parts() as parts:
        rows = AgedRows(parts.database)
        policy = RetentionPolicy.from_settings(parts.settings.retention, parts.settings.api)
        variables = {"text": "x" * 20_000}
        old = AgedMail(service_id=await rows.get_service(), ended_at=now - 8 * DAY, variables=variables)
        await rows.add_mails([old] * 400)
        before = await _measure(parts.database)
        counts = await run_purge(parts.database, policy, now)
        after = await _measure(parts.database)
    assert counts["pages"] > 1000
    assert after.bytes < before.bytes / 2
    assert after.free_bytes <= after.bytes / 8
