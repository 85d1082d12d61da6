"""A sender whose machine vanished in the middle of a transaction, which PostgreSQL keeps open for a while."""

from sqlalchemy import text
from structlog.testing import capture_logs
from support import api_caller
from support.crashed_sender import CrashedSender
from support.manual_clock import ManualClock
from support.polling import wait_until
from support.seeded_installation import Installation

from notifier.db.engine import Database
from notifier.outbox.heartbeat import Heartbeat
from notifier.runtime import wiring
from notifier.settings import SenderSettings

LOCK = text("SELECT id FROM outbox_entry WHERE id = :id FOR UPDATE")


async def test_mail_that_it_locks_is_rescued_once_the_transaction_ends(postgres_installation: Installation) -> None:
    """The first rescue passes a locked mail over; a later one does not wait for the end of its lease of minutes."""
    installation = postgres_installation.with_settings(sender={"dead_after": 1.0})
    async with installation.open_parts() as parts, installation.open_client(parts) as client:
        path = await api_caller.submit_mail(client)
        sender = CrashedSender(parts.database, installation.settings.data_dir / "elsewhere")
        (entry,) = await sender.claim()
        await Heartbeat(parts.database, sender.boot_id, ManualClock(), dead_after=1.0).beat()
        with capture_logs() as logs:

            def list_events() -> set[str]:
                return {line["event"] for line in logs} & {"leases_locked", "sender_died"}

            async with wiring.run_sender(parts):
                async with parts.database.write() as left_open:
                    await left_open.execute(LOCK, {"id": entry.id})
                    await wait_until(lambda: bool(list_events()))
                    assert list_events() == {"leases_locked"}
                    assert (await client.get(path)).json()["status"] == "queued"
                notification = await api_caller.wait_for_status(client, path, "sent")
    assert notification["uncertain_at"] is None


async def test_postgresql_ends_it_before_the_sender_counts_as_dead(postgres_installation: Installation) -> None:
    """PostgreSQL itself ends a transaction in which nothing happens, sooner than others consider its sender dead."""
    database = Database(postgres_installation.settings.effective_database_url)
    query = text("SELECT setting, unit FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'")
    async with database.write_statement() as direct:
        limit = (await direct.execute(query)).first()
    async with database.write() as pooled:
        assert (await pooled.execute(query)).first() == limit
    await database.close()
    assert (limit.unit, 0 < int(limit.setting) / 1000 < SenderSettings().dead_after) == ("ms", True)
