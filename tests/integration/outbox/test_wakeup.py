"""Wake-ups between processes: a commit wakes the others at once, and a lost wake-up costs one poll."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy import text
from support.polling import wait_until
from support.seeded_installation import Installation

from notifier.db.engine import Database
from notifier.ids import generate_id
from notifier.outbox import wakeup
from notifier.outbox.wakeup import Wakeup, WakeupNotifier, listen_for_wakeups


@asynccontextmanager
async def hearing(database: Database, wake: Wakeup, boot_id: UUID) -> AsyncIterator[None]:
    """Run another process that listens for wake-ups."""
    task = asyncio.create_task(listen_for_wakeups(database, wake, boot_id))
    try:
        await wait_until(lambda: wake.hears_others)
        await wake.wait(1)
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_another_process_is_woken(postgres_installation: Installation) -> None:
    """A commit wakes the own sender and every other one."""
    async with postgres_installation.open_parts() as local, postgres_installation.open_parts() as remote:
        own, other = Wakeup(), Wakeup()
        async with hearing(remote.database, other, generate_id()):
            WakeupNotifier(local.database, own)()
            assert await own.wait(0.0001)
            assert await other.wait(5)


async def test_many_commits_send_few_notifications(postgres_installation: Installation) -> None:
    """A thousand commits at once send at most two notifications, and the last is never left out."""
    async with postgres_installation.open_parts() as local, postgres_installation.open_parts() as remote:
        heard: list[str] = []
        async with remote.database.listen(wakeup.CHANNEL, heard.append):
            announce = WakeupNotifier(local.database, Wakeup())
            for _ in range(1000):
                announce()
            await wait_until(lambda: bool(heard))
            announce()
            await wait_until(lambda: len(heard) >= 2)
            await asyncio.sleep(5 * wakeup.DEBOUNCE_SECONDS)
        assert 2 <= len(heard) <= 3


async def test_a_lost_connection_is_opened_again(postgres_installation: Installation) -> None:
    """While the connection is lost the sender polls more often; then it listens again."""
    async with postgres_installation.open_parts() as local, postgres_installation.open_parts() as remote:
        wake = Wakeup()
        async with hearing(remote.database, wake, generate_id()):
            async with local.database.read() as connection:
                await connection.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
                )
            await wait_until(lambda: not wake.hears_others)
            await wait_until(lambda: wake.hears_others)
