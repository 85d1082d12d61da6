"""Wake-ups between processes: committed work wakes the others at once, and a lost wake-up costs one poll."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from parts import caller
from parts.installation import Installation
from sqlalchemy import text

from notifier.db.engine import Database
from notifier.ids import new_id
from notifier.outbox import hint
from notifier.outbox.hint import Announcer, hear
from notifier.outbox.wake import Wake


@asynccontextmanager
async def hearing(database: Database, wake: Wake, boot_id: UUID) -> AsyncIterator[None]:
    """Another process that listens."""
    task = asyncio.create_task(hear(database, wake, boot_id))
    try:
        await caller.eventually(lambda: wake.hinted)
        await wake.wait(1)
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_another_process_is_woken(postgres_installation: Installation) -> None:
    """Whoever commits work wakes its own sender and every other one."""
    async with postgres_installation.base() as local, postgres_installation.base() as remote:
        own, other = Wake(), Wake()
        async with hearing(remote.database, other, new_id()):
            Announcer(local.database, own)()
            assert await own.wait(0.0001)
            assert await other.wait(5)


async def test_many_commits_send_few_notifications(postgres_installation: Installation) -> None:
    """A thousand commits in a moment send at most two notifications; the last commit is never left out."""
    async with postgres_installation.base() as local, postgres_installation.base() as remote:
        heard: list[str] = []
        async with remote.database.listening(hint.CHANNEL, heard.append):
            announce = Announcer(local.database, Wake())
            for _ in range(1000):
                announce()
            await caller.eventually(lambda: bool(heard))
            announce()
            await caller.eventually(lambda: len(heard) >= 2)
            await asyncio.sleep(5 * hint.DEBOUNCE_SECONDS)
        assert 2 <= len(heard) <= 3


async def test_a_lost_connection_is_opened_again(postgres_installation: Installation) -> None:
    """While it is lost the sender knows it, and polls more often; then it listens again."""
    async with postgres_installation.base() as local, postgres_installation.base() as remote:
        wake = Wake()
        async with hearing(remote.database, wake, new_id()):
            async with local.database.read() as connection:
                await connection.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
                )
            await caller.eventually(lambda: not wake.hinted)
            await caller.eventually(lambda: wake.hinted, seconds=hint.RECONNECT_SECONDS + 5)
