"""Real senders, killed with a real signal while they work on the report of nine o'clock."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text, update
from support import notifier_process, past_traffic
from support.notifier_process import NotifierProcess
from support.polling import poll_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.db.engine import Database
from notifier.db.tables import JobRun, Notification, Schedule, get_columns
from notifier.runtime import wiring
from notifier.states import JobState, Status

LOCKED = ("statistics_range", "notification")
"""Tables in which the first sender cannot write the counts of the report, and the second not its mail."""
BLOCKED = text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    " AND EXISTS (SELECT 1 FROM job_run AS r JOIN outbox_entry AS e ON e.subject_id = r.id"
    " WHERE r.schedule_name = 'morning' AND e.state = 'leased')"
)
"""How many sessions wait for a lock while a sender works on the report."""
_schedule, _run, _notification = get_columns(Schedule), get_columns(JobRun), get_columns(Notification)


async def _sender(installation: Installation, folder: Path, port: int) -> NotifierProcess:
    database = installation.settings.effective_database_url
    variables = {"DATABASE_URL": database, "SMTP__PORT": str(port), "RECIPIENTS__MODE": "live"}
    env = notifier_process.without_coverage(notifier_process.build_environment(folder, **variables))
    started = NotifierProcess("sender", env=env)
    await asyncio.to_thread(started.wait_until_ready)
    return started


async def _save_schedule(installation: Installation, parts: wiring.ProcessParts) -> datetime:
    """Save a report at nine of yesterday's mail, which is due now; return its planned time."""
    async with parts.database.write() as connection:
        shop = await service_admin.find_service(connection, "shop")
        key = await key_admin.create_live_key(connection, shop, scopes=[KeyScope.SCHEDULES], now=parts.clock.now())
    stop = parts.clock.now()
    mails = past_traffic.invent_mail(stop - timedelta(days=8), stop - timedelta(hours=1), 400, [shop])
    ended = [mail for mail in mails if mail.status is Status.SENT]
    await past_traffic.write_mail(parts.database, ended)
    body = {"timing": "0 9 * * *", "action": "report", "options": {"to": "ops@example.com"}}
    async with installation.open_client(parts, key) as client:
        assert (await client.put("/v1/schedules/morning", json=body)).status_code == 200
    planned = stop.replace(microsecond=0)
    async with parts.database.write() as connection:
        await connection.execute(update(Schedule).where(_schedule.name == "morning").values(next_at=planned))
    return planned


async def _wait_until_blocked(database: Database) -> None:
    async def is_blocked() -> bool:
        async with database.read() as connection:
            return bool(await connection.scalar(BLOCKED))

    await poll_until(is_blocked)


async def _wait_until_submitted(database: Database) -> Any:
    async def find() -> Any:
        query = select(_notification.id, _notification.status, _notification.idempotency_key)
        async with database.read() as connection:
            return (await connection.execute(query.where(_notification.created_by == "schedule:morning"))).first()

    return await poll_until(find)


async def test_a_report_is_sent_once_though_its_senders_are_killed(
    postgres_installation: Installation, relay: ScriptedRelay, tmp_path: Path
) -> None:
    """Killed while it counts, while it submits and after it has submitted: one run, one notification, one mail."""
    async with postgres_installation.open_parts() as parts:
        database = parts.database
        planned = await _save_schedule(postgres_installation, parts)
        nowhere = notifier_process.find_free_port()  # so that no victim is killed while it talks to the relay
        for table in LOCKED:
            async with database.write() as connection:
                await connection.execute(text(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"))
                with await _sender(postgres_installation, tmp_path, nowhere) as victim:
                    await _wait_until_blocked(database)
                    victim.kill()
        with await _sender(postgres_installation, tmp_path, nowhere) as victim:
            mail = await _wait_until_submitted(database)
            victim.kill()
        with await _sender(postgres_installation, tmp_path, relay.port):
            await relay.wait_for(1)
            await poll_until(lambda: _has_ended(database))
        async with database.read() as connection:
            runs = (await connection.execute(select(JobRun).where(_run.schedule_name == "morning"))).all()
            by_schedule = _notification.created_by == "schedule:morning"
            count = await connection.scalar(select(func.count()).where(by_schedule))
    assert [(run.state, run.planned_at, run.counts["notifications"]) for run in runs] == [
        (JobState.SUCCEEDED, planned, 1)
    ]
    assert mail.idempotency_key == f"schedule:morning:{planned.isoformat().replace('+00:00', 'Z')}"
    assert count == 1
    assert [message.recipient for message in relay.received] == ["ops@example.com"]


async def _has_ended(database: Database) -> bool:
    async with database.read() as connection:
        by_schedule = _notification.created_by == "schedule:morning"
        return (await connection.scalar(select(_notification.status).where(by_schedule))) is Status.SENT
