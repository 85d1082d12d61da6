"""A server whose host goes silent: its connections end soon, and do not wait for the timeout of a statement."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

from sqlalchemy import text
from support.seeded_installation import Installation
from support.silent_host import SilentHost

from notifier.db.engine import Database
from notifier.db.postgres_connector import STATEMENT_TIMEOUT
from notifier.errors import DatabaseUnavailableError

_PING, _HANG = text("SELECT 1 AS one"), text("SELECT CAST(pg_sleep(1000) AS text) AS never")
DEADLINE = STATEMENT_TIMEOUT - 10.0
"""Many times the second of the URL, and less than a statement takes without it."""


async def test_connections_end_when_the_host_is_silent(postgres_installation: Installation) -> None:
    """A statement of either kind, and a connection that listens, end when the URL's time is over."""
    url = postgres_installation.settings.effective_database_url
    running = asyncio.Semaphore(0)

    async def hang(opened: AbstractAsyncContextManager[Any]) -> None:
        async with opened as connection:
            await connection.execute(_PING)
            running.release()
            await connection.execute(_HANG)

    async with SilentHost(url) as host:
        name = url.partition("?")[0].rpartition("/")[2]
        database = Database(f"postgresql://postgres@{host.address}/{name}?tcp_user_timeout=1000")
        async with database.listen("anything", lambda _: None) as lost:
            kinds = (database.write(), database.write_statement(), database.direct_transaction())
            tasks = [asyncio.create_task(hang(opened)) for opened in kinds]
            for _ in tasks:
                await running.acquire()
            host.go_silent()
            async with asyncio.timeout(DEADLINE):
                await lost.wait()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
        await database.close()
    assert [type(error) for error in ended] == [DatabaseUnavailableError] * len(kinds)
