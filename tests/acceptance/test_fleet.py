"""An API and two senders on PostgreSQL: every mail exactly once, and none lost when a sender is killed."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from parts import caller, process
from parts.installation import WELCOME, Keys
from parts.process import Process
from parts.relay import Relay
from sqlalchemy import func, select

from notifier.db.engine import Database
from notifier.db.tables import Notification, columns
from notifier.states import Status

MAILS = int(os.environ.get("NOTIFIER_TEST_MAILS", "500"))
"""`make chaos` takes 5,000."""
CALLERS = 16
_notification = columns(Notification)


class Fleet:
    """One API, some senders, and the relay that they hand mail to."""

    def __init__(self, url: str, keys: Keys, folder: Path, relay: Relay) -> None:
        self.relay = relay
        self.database = Database(url)
        self._keys = keys
        self._port = process.free_port()
        settings = {"DATABASE_URL": url, "SMTP__PORT": str(relay.port), "RECIPIENTS__MODE": "live"}
        self._env = process.environment(folder, **settings, SENDER__LEASE="5", LOG_LEVEL="WARNING")

    async def api(self) -> Process:
        """Start the API."""
        return await self._started("api", "--port", str(self._port))

    async def sender(self) -> Process:
        """Start a sender."""
        return await self._started("sender")

    async def submit(self, count: int) -> None:
        """POST that many notifications from several callers at once; each must answer 202."""
        headers = {"Authorization": f"Bearer {self._keys.shop}"}
        waiting = iter(range(count))
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", headers=headers, timeout=30) as client:

            async def call() -> None:
                for number in waiting:
                    body = WELCOME | {"to": f"user{number}@example.com"}
                    reply = await client.post("/v1/notifications", json=body)
                    assert reply.status_code == 202, reply.text

            await asyncio.gather(*(call() for _ in range(CALLERS)))

    async def until_idle(self, seconds: float) -> None:
        """Wait until the outbox is empty."""
        async with asyncio.timeout(seconds):
            while await caller.entries(self.database):  # noqa: ASYNC110 - other processes empty it
                await asyncio.sleep(0.1)

    async def statuses(self) -> dict[Status, int]:
        """How many notifications have each status."""
        statement = select(_notification.status, func.count().label("total")).group_by(_notification.status)
        async with self.database.read() as connection:
            return {row.status: row.total for row in await connection.execute(statement)}

    async def _started(self, *arguments: str) -> Process:
        started = Process(*arguments, env=self._env)
        await asyncio.to_thread(started.ready)
        return started


@pytest.fixture
async def fleet(postgres_database: tuple[str, Keys], tmp_path: Path, relay: Relay) -> AsyncIterator[Fleet]:
    made = Fleet(*postgres_database, tmp_path, relay)
    yield made
    await made.database.close()


@pytest.mark.timeout(180)
async def test_two_senders_send_every_mail_exactly_once(fleet: Fleet) -> None:
    """All POSTs end as that many distinct (Message-ID, recipient) pairs, every row sent, the outbox empty."""
    with await fleet.api(), await fleet.sender() as first, await fleet.sender() as second:
        await fleet.submit(MAILS)
        await fleet.until_idle(120)
        assert (await asyncio.to_thread(first.stop), await asyncio.to_thread(second.stop)) == (0, 0)
    pairs = Counter(mail.pair for mail in fleet.relay.received)
    assert (len(pairs), pairs.total()) == (MAILS, MAILS)
    assert await fleet.statuses() == {Status.SENT: MAILS}


@pytest.mark.timeout(180)
async def test_a_sender_killed_half_way_loses_nothing(fleet: Fleet) -> None:
    """With one sender killed by -9 half-way and restarted, every mail arrives; only those in flight may repeat."""
    with await fleet.api(), await fleet.sender(), await fleet.sender() as victim:
        submitting = asyncio.create_task(fleet.submit(MAILS))
        await fleet.relay.wait_for(MAILS // 2, seconds=120)
        await asyncio.to_thread(victim.kill)
        with await fleet.sender():
            await submitting
            await fleet.until_idle(120)
    pairs = Counter(mail.pair for mail in fleet.relay.received)
    assert len(pairs) == MAILS
    assert await fleet.statuses() == {Status.SENT: MAILS}
    # At most what the victim held: its sessions, and what had its 250 but was not settled yet.
    assert pairs.total() - MAILS <= 500
