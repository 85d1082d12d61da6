"""Transactions of people and callers who wait for the answer: they have a time limit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.database_errors import convert_database_errors
from notifier.db.engine import Database

MAX_CHANGE_SECONDS = 2.5
"""Time limit of a change. To give up a server that hangs the driver needs two seconds more: 503 within five."""


@asynccontextmanager
async def open_timed_change(database: Database, *, more_seconds: float = 0.0) -> AsyncIterator[AsyncConnection]:
    """Open a transaction with a time limit, which commits at the end of the block; `more_seconds` for a large one."""
    with convert_database_errors():
        async with asyncio.timeout(MAX_CHANGE_SECONDS + more_seconds), database.write() as connection:
            yield connection
