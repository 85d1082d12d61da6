"""`notifier capacity` reads what a running installation uses, and says what ends first."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, text
from support.long_queue import add_measured_sender, queue_entries, write_heartbeat
from support.seeded_installation import WELCOME, Installation
from support.typed_commands import type_command

from notifier.db.tables import INSTANCE, StatisticsHour
from notifier.health.installation_usage import WINDOW, InstallationUsage, read_usage
from notifier.runtime import wiring

MAILS = 6


@pytest.fixture
async def sending(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[wiring.ProcessParts]:
    """A process that has accepted and sent six mails, and whose sender lives."""
    async with installation.open_client(parts) as client, wiring.run_sender(parts) as sender:
        for _ in range(MAILS):
            assert (await client.post("/v1/notifications", json=WELCOME)).status_code == 202
        await sender.drain()
        yield parts


async def _read(parts: wiring.ProcessParts, most: int = 100) -> InstallationUsage:
    return await read_usage(parts.database, parts.settings, parts.clock, seconds=0.1, most=most)


async def test_it_counts_what_was_accepted_and_sent(sending: wiring.ProcessParts) -> None:
    """Six mails in ten minutes; of one process on SQLite, and with its connections and its WAL on PostgreSQL."""
    usage = await _read(sending)
    assert usage.accepted_per_second == usage.sent_per_second == MAILS / WINDOW.total_seconds()
    assert usage.relay_seconds is not None
    assert usage.waiting.due == 0
    if sending.database.is_sqlite:
        assert (usage.senders, usage.server) == (None, None)
        return
    assert usage.senders is not None
    assert usage.server is not None
    assert (usage.senders.processes, usage.senders.hosts) == (1, 1)
    assert usage.senders.relay_connections == sending.settings.sender.concurrency  # fewer than the connections
    assert usage.server.process_connections == sending.settings.database_connections
    assert 0 < usage.server.connections <= usage.server.allowed_connections < 10_000
    assert usage.server.wal_per_second >= 0


async def test_more_mails_than_are_read(sending: wiring.ProcessParts) -> None:
    """The rate is that of the newest, not of the whole window."""
    usage = await _read(sending, most=3)
    assert usage.accepted_per_second > MAILS / WINDOW.total_seconds()


async def test_it_counts_what_waits(parts: wiring.ProcessParts) -> None:
    """Due entries are counted while no sender is there."""
    await queue_entries(parts, 3)
    usage = await _read(parts)
    assert usage.waiting.due == 3
    assert usage.senders is None or usage.senders.processes == 0


async def test_a_dead_sender_carries_nothing(postgres_installation: Installation) -> None:
    """A sender whose last beat is two minutes old is not counted; one that beats is, with its rate."""
    async with postgres_installation.open_parts() as parts:
        await add_measured_sender(parts)
        async with parts.database.write() as connection:
            await connection.execute(text("UPDATE sender_process SET beat_at = beat_at - interval '2 minutes'"))
        dead = (await _read(parts)).senders
        living = await write_heartbeat(parts)
        alive = (await _read(parts)).senders
        async with parts.database.read() as connection:
            query = text("SELECT sent_rate FROM sender_process WHERE id = :id")
            rate = (await connection.execute(query, {"id": living})).scalar_one()
    assert dead is not None
    assert alive is not None
    assert (dead.processes, dead.per_second) == (0, None)
    assert (alive.processes, alive.per_second) == (1, rate)
    assert rate > 0


async def test_it_finds_the_busiest_hour(parts: wiring.ProcessParts) -> None:
    """The hour with the most mails of the last week, of all their statuses, without what is older."""
    now = parts.clock.now()
    hour = int(now.timestamp()) // 3600
    rows = [(hour - 2, "sent:", 30), (hour - 2, "failed:expired", 5), (hour - 2, "3", 30), (hour - 1, "sent:", 34)]
    rows.append((hour - 24 * 8, "sent:", 1000))
    async with parts.database.write() as connection:
        values = [{"service_id": INSTANCE, "hour": at, "measure": name, "number": n} for at, name, n in rows]
        await connection.execute(insert(StatisticsHour), values)
    usage = await _read(parts)
    assert usage.busiest is not None
    assert usage.busiest.number == 35
    assert usage.busiest.start == datetime.fromtimestamp((hour - 2) * 3600, UTC)
    assert now - usage.busiest.start < timedelta(hours=4)


def test_the_command(postgres_installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a sender it says so, in sentences and as JSON, with the cores that it was given."""
    monkeypatch.setenv("NOTIFIER_DATABASE_URL", postgres_installation.settings.effective_database_url)
    printed = type_command("capacity", "--database-cores", "8", "--seconds", "0.1")
    assert (printed.code, printed.stderr) == (0, "")
    assert "senders      none is alive: mail is accepted, and waits" in printed.stdout
    assert "8 cores carry about " in printed.stdout
    assert "next step    start more sender processes" in printed.stdout
    facts = json.loads(type_command("capacity", "--seconds", "0.1", "--json").stdout)
    assert (facts["first_limit"], facts["limits"]["senders"]) == ("senders", 0)
    assert facts["usage"]["senders"]["processes"] == 0
    assert "database_cpu" not in facts["limits"]


def test_a_database_without_our_tables(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Before `db upgrade` it is one line that says what to run, and exit 2."""
    monkeypatch.setenv("NOTIFIER_DATA_DIR", str(tmp_path))
    ended = type_command("capacity")
    assert (ended.code, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert "notifier db upgrade" in ended.stderr
