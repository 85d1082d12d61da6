"""Another PostgreSQL transaction that locks what a request needs, and a check for who waits on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
from support.polling import poll_until

from notifier.settings import Settings

_TAKE_KEY = """
INSERT INTO notification
SELECT (jsonb_populate_record(n, jsonb_build_object('id', $1::text, 'idempotency_key', $2::text))).*
FROM notification n LIMIT 1
"""
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class ForeignTransaction:
    """An open transaction."""

    def __init__(self, connection: Any, observer: Any, database: str) -> None:
        self._connection, self._observer = connection, observer
        self.database = database  # its name

    async def take_key(self, key: str) -> None:
        """Insert a copy of the existing notification under this Idempotency-Key, and do not commit."""
        await self._connection.execute(_TAKE_KEY, str(uuid4()), key)

    async def execute(self, statement: str) -> None:
        """Run a statement inside the transaction."""
        await self._connection.execute(statement)

    async def wait_for_waiters(self, count: int = 1) -> None:
        """Wait until that many transactions wait for a lock; PostgreSQL can only be polled for this."""

        async def are_waiting() -> bool:
            return bool(await self._observer.fetchval(_WAITING) >= count)

        await poll_until(are_waiting)

    async def release(self) -> None:
        """Roll back."""
        await self._connection.execute("ROLLBACK")

    async def commit(self) -> None:
        """Commit."""
        await self._connection.execute("COMMIT")


@asynccontextmanager
async def open_foreign_transaction(settings: Settings) -> AsyncIterator[ForeignTransaction]:
    """Open a transaction in the installation's database, and roll it back at the end if still open."""
    url = settings.effective_database_url
    connection, observer = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        await connection.execute("BEGIN")
        yield ForeignTransaction(connection, observer, await observer.fetchval("SELECT current_database()"))
    finally:
        await connection.close()
        await observer.close()
