"""A real sender, killed with a real signal in the middle of a purge, again and again."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from support import notifier_process
from support.aged_rows import DAY, AgedMail, AgedRows
from support.notifier_process import NotifierProcess
from support.polling import poll_until
from support.seeded_installation import Installation

from notifier.db.engine import Database
from notifier.db.tables import INSTANCE, Attempt, Notification, NotificationContent
from notifier.jobs import job_store
from notifier.jobs.job_action import JobRunView
from notifier.jobs.job_store import NewJobRun
from notifier.states import JobKind, JobState

OLD_MAILS, YOUNG_MAILS = 2500, 50
KILLED_AT = (("contents", 400), ("contents", 1500), ("attempts", 300), ("notifications", 1200))
"""When the sender is killed: as soon as the run has counted so many."""


async def _begin_run(database: Database, now: datetime) -> UUID:
    async with database.write() as connection:
        new = NewJobRun(service_id=INSTANCE, kind=JobKind.PURGE, created_by="test")
        run = await job_store.create_run(connection, new, now)
    assert run is not None
    return run.id


async def _wait_for(database: Database, id_: UUID, name: str, number: int) -> JobRunView:
    """Wait until the run has counted so many, or has ended."""

    async def look() -> JobRunView | None:
        async with database.read() as connection:
            run = await job_store.get_run(connection, id_, None)
        return run if run.counts.get(name, 0) >= number or run.ended_at is not None else None

    return await poll_until(look)


async def test_a_killed_purge_goes_on_where_it_was(postgres_installation: Installation, tmp_path: Path) -> None:
    """After four kills everything old is gone, everything young is there, and the counts equal the rows."""
    env = notifier_process.build_environment(
        tmp_path, DATABASE_URL=postgres_installation.settings.effective_database_url, SENDER__SCHEDULES="false"
    )
    env = notifier_process.without_coverage(env)
    now = datetime.now(UTC)
    async with postgres_installation.open_parts() as parts:
        rows = AgedRows(parts.database)
        shop = await rows.get_service()
        await rows.add_mails([AgedMail(service_id=shop, ended_at=now - 100 * DAY, attempts=2)] * OLD_MAILS)
        young = await rows.add_mails([AgedMail(service_id=shop, ended_at=now - DAY)] * YOUNG_MAILS)
        run = await _begin_run(parts.database, now)
        for name, number in KILLED_AT:
            with NotifierProcess("sender", env=env) as victim:
                await asyncio.to_thread(victim.wait_until_ready)
                await _wait_for(parts.database, run, name, number)
                victim.kill()
        with NotifierProcess("sender", env=env) as last:
            await asyncio.to_thread(last.wait_until_ready)
            done = await _wait_for(parts.database, run, "nothing", 1)
        kept = set(young)
        assert done.state is JobState.SUCCEEDED
        assert dict(done.counts) == {
            "contents": OLD_MAILS, "attempts": 2 * OLD_MAILS, "notifications": OLD_MAILS
        }  # fmt: skip
        for table, column in (
            (Notification, "id"),
            (NotificationContent, "notification_id"),
            (Attempt, "notification_id"),
        ):
            assert await rows.list_ids(table, column) == kept
