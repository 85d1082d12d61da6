"""A merge whose senders are killed with SIGKILL while they check, submit and send its rows: each row is one mail."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from chaos.chaos_scene import Scene
from chaos.relay_script import Pace
from chaos.size import SEED, size
from sqlalchemy import make_url, select, text
from support import merge_story
from support.polling import poll_until
from support.seeded_installation import Installation

from notifier.db.engine import Database
from notifier.db.tables import Notification, get_columns
from notifier.job_states import ENDED_JOB_STATES
from notifier.jobs import job_store
from notifier.jobs.job_action import JobRunView
from notifier.merge import merge_pace

ROWS, CHECK_KILLS, RUN_KILLS = size((3000, 1, 2), (100_000, 6, 14))
SENDERS = size(("first",), ("first", "second"))
SETTINGS = {"SENDER__SCHEDULES": "false", "SENDER__RESEND_AFTER": "2", "API__RATE_PER_MINUTE": "1000000"}
COUNT_SECONDS = 0.25
LOCK_MERGES = text("LOCK TABLE merge IN SHARE ROW EXCLUSIVE MODE")
"""Then a step waits before its last statement, when its rows are written and not committed."""
FIND_BLOCKED = text(
    "SELECT application_name FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND datname = current_database() AND query LIKE 'UPDATE merge %'"
)
_notification = get_columns(Notification)


@dataclass
class KillCount:
    """How many senders were killed, and the most mails that were seen in the outbox meanwhile."""

    in_step: int = 0
    at_any_moment: int = 0
    most_queued: int = field(default=0, compare=False)

    async def watch_outbox(self, database: Database) -> None:
        """Count the mails in the outbox again and again."""
        while True:
            self.most_queued = max(self.most_queued, await merge_story.count_queued(database))
            await asyncio.sleep(COUNT_SECONDS)


async def _start_sender(scene: Scene, name: str) -> None:
    """Start a sender whose connections have its name."""
    url = make_url(scene.url).update_query_dict({"application_name": name})
    await scene.fleet.start(name, "sender", DATABASE_URL=url.render_as_string(hide_password=False))


async def _get_run(database: Database, job_id: str) -> JobRunView:
    async with database.read() as connection:
        return await job_store.get_run(connection, UUID(job_id), None)


async def _wait_for_count(database: Database, job_id: str, name: str, count: int) -> None:
    """Wait until the job has counted so many, or has ended."""

    async def is_reached() -> bool:
        run = await _get_run(database, job_id)
        return run.counts.get(name, 0) >= count or run.state in ENDED_JOB_STATES

    await poll_until(is_reached)


async def _kill(scene: Scene, name: str) -> None:
    async def is_up() -> bool:
        return name in scene.fleet.up

    await poll_until(is_up)
    await scene.fleet.kill(name)
    scene.fleet.revive(name)


async def _kill_in_step(scene: Scene, job_id: str) -> None:
    """Kill the sender that writes a step, before it commits."""

    async def find_blocked() -> str | None:
        async with scene.database.read() as connection:
            name: str | None = await connection.scalar(FIND_BLOCKED)
        assert (await _get_run(scene.database, job_id)).state not in ENDED_JOB_STATES, "it ended before the kill"
        return name

    async with scene.database.write() as connection:
        await connection.execute(LOCK_MERGES)
        await _kill(scene, await poll_until(find_blocked))


@asynccontextmanager
async def _watch(kills: KillCount, database: Database) -> AsyncIterator[None]:
    watching = asyncio.create_task(kills.watch_outbox(database))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def _kill_often(scene: Scene, job_id: str, name: str, number: int, kills: KillCount) -> None:
    """Kill a sender each time that the job has counted the next part of the rows: in a step, then at any moment."""
    chance = random.Random(SEED)
    for part in range(number):
        await _wait_for_count(scene.database, job_id, name, part * ROWS // number)
        if part % 2:
            await _kill(scene, chance.choice(SENDERS))
            kills.at_any_moment += 1
        else:
            await _kill_in_step(scene, job_id)
            kills.in_step += 1


async def _list_mails(database: Database, path: str) -> tuple[Counter[str], dict[str, str]]:
    """List the rows of the file for which there are notifications, and the recipients by id."""
    query = select(_notification.id, _notification.recipient, _notification.meta)
    query = query.where(_notification.batch_id == UUID(path.rpartition("/")[2]))
    async with database.read() as connection:
        mails = (await connection.execute(query)).all()
    return Counter(mail.meta["merge_row"] for mail in mails), {str(mail.id): mail.recipient for mail in mails}


@pytest.mark.timeout(size(400, 1500))
async def test_each_row_is_one_mail_though_senders_are_killed(
    postgres_installation: Installation, quick_scene: Scene
) -> None:
    """Senders are killed inside the steps of the check and of the run, and while they send: each row is one mail."""
    data, kills, scene = merge_story.build_csv(merge_story.build_rows(ROWS)), KillCount(), quick_scene
    await scene.begin(Pace(), SETTINGS)
    async with postgres_installation.open_parts() as parts, postgres_installation.open_client(parts) as client:
        await asyncio.gather(*(_start_sender(scene, name) for name in SENDERS))
        path = await merge_story.upload_file(client, data)
        job_id = (await client.get(path)).json()["job_id"]
        await _kill_often(scene, job_id, "rows", CHECK_KILLS, kills)
        merge = await merge_story.wait_for_state(client, path, "checked", "failed")
        assert (merge["state"], merge["rows"], merge["valid"], merge["duplicates"]) == ("checked", ROWS, ROWS, 0)
        assert merge["columns"][0]["statistics"]["filled"] == ROWS
        async with _watch(kills, scene.database):
            job_id = (await merge_story.start_merge(client, path))["job_id"]
            await _kill_often(scene, job_id, "written", RUN_KILLS, kills)
            merge = await merge_story.wait_for_state(client, path, "finished", "failed")
    rows, recipients = await _list_mails(scene.database, path)
    report = await scene.report(recipients, seed=SEED, kills=kills)
    assert rows == Counter(str(number) for number in range(2, ROWS + 2))
    assert (report.faults, report.sent) == ({}, ROWS)
    assert (merge["submitted"]["written"], merge["submitted"]["statuses"]) == (ROWS, {"sent": ROWS})
    assert kills == KillCount(
        in_step=(CHECK_KILLS + 1) // 2 + RUN_KILLS // 2, at_any_moment=CHECK_KILLS // 2 + RUN_KILLS // 2
    )
    assert kills.most_queued <= merge_pace.MAX_AHEAD
