"""Real senders, killed with a real signal while they check and submit the rows of a merge."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import select
from support import merge_story, notifier_process
from support.notifier_process import NotifierProcess
from support.polling import poll_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation

from notifier.db.engine import Database
from notifier.db.tables import Notification, get_columns

ROWS = 6000
_notification = get_columns(Notification)


async def _start_sender(installation: Installation, folder: Path) -> NotifierProcess:
    smtp = installation.settings.smtp
    env = notifier_process.build_environment(
        folder,
        DATABASE_URL=installation.settings.effective_database_url,
        FROM=installation.settings.from_,
        SMTP__HOST=smtp.host,
        SMTP__PORT=str(smtp.port),
        RECIPIENTS__MODE="live",
        SENDER__SCHEDULES="false",
    )
    started = NotifierProcess("sender", env=notifier_process.without_coverage(env))
    await asyncio.to_thread(started.wait_until_ready)
    return started


async def _wait_for_count(client: httpx2.AsyncClient, path: str, name: str, count: int) -> None:
    """Wait until the job of the merge has counted so many."""

    async def is_reached() -> bool | None:
        reply = await client.get(path)
        assert reply.status_code == 200, reply.text
        job: dict[str, Any] = (await client.get(f"/v1/jobs/{reply.json()['job_id']}")).json()
        assert job["state"] != "failed", job
        return job["counts"].get(name, 0) >= count or None

    await poll_until(is_reached)


async def _list_written_rows(database: Database, path: str) -> Counter[str]:
    query = select(_notification.meta).where(_notification.batch_id == UUID(path.rpartition("/")[2]))
    async with database.read() as connection:
        return Counter(row.meta["merge_row"] for row in await connection.execute(query))


async def test_each_row_is_one_notification_though_senders_are_killed(
    postgres_installation: Installation, relay: ScriptedRelay, tmp_path: Path
) -> None:
    """Two senders are killed during the check and two during the run; no row is lost, and none is there twice."""
    data = merge_story.build_csv(merge_story.build_rows(ROWS))
    async with postgres_installation.open_parts() as parts, postgres_installation.open_client(parts) as client:
        path = await merge_story.upload_file(client, data)
        for rows in (1000, 3000):
            with await _start_sender(postgres_installation, tmp_path) as victim:
                await _wait_for_count(client, path, "rows", rows)
                victim.kill()
        with await _start_sender(postgres_installation, tmp_path):
            merge = await merge_story.wait_for_state(client, path, "checked", "failed")
        assert (merge["state"], merge["rows"], merge["valid"], merge["duplicates"]) == ("checked", ROWS, ROWS, 0)
        assert merge["columns"][0]["statistics"]["filled"] == ROWS
        await merge_story.start_merge(client, path)
        for rows in (500, 2500):
            with await _start_sender(postgres_installation, tmp_path) as victim:
                await _wait_for_count(client, path, "written", rows)
                victim.kill()
        with await _start_sender(postgres_installation, tmp_path):
            await _wait_for_count(client, path, "written", ROWS)
            written = await _list_written_rows(parts.database, path)
            assert (len(written), set(written.values())) == (ROWS, {1})
            submitted = (await client.get(path)).json()["submitted"]
            assert (submitted["written"], sum(submitted["statuses"].values())) == (ROWS, ROWS)
