"""A caller's database with the producer table, through each supported driver."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    Uuid,
    create_engine,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from notifier.client import producer

METADATA = MetaData()
PRODUCER = producer.define_table(METADATA)
ORDERS = Table(
    "orders", METADATA, Column("number", Integer, primary_key=True), Column("mail", Uuid), Column("note", Text)
)
DRIVERS = ("sqlite", "sqlite+aiosqlite", "postgresql+psycopg", "postgresql+asyncpg")
MAIL: dict[str, Any] = {
    "to": "ada@example.com",
    "template": "welcome",
    "variables": {"name": "Ada", "product": "Larkspur"},
}
T = TypeVar("T")


def create_caller_engine(url: str) -> Engine | AsyncEngine:
    """Create the engine of the driver in the URL."""
    if url.startswith(("sqlite:", "postgresql+psycopg:")):
        return create_engine(url, poolclass=NullPool)
    return create_async_engine(url, poolclass=NullPool)


class CallerDatabase:
    """The database of a calling service."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = create_caller_engine(url)

    async def create(self) -> "CallerDatabase":
        """Create its tables."""
        await self.do(METADATA.create_all)
        return self

    async def do(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction, and commit."""
        if isinstance(self.engine, AsyncEngine):
            async with self.engine.begin() as connection:
                return await connection.run_sync(work)
        with self.engine.begin() as connection:
            return work(connection)

    async def enqueue(self, **fields: Any) -> UUID:
        """Enqueue and commit one mail."""
        mail = MAIL | fields
        if isinstance(self.engine, AsyncEngine):
            async with self.engine.begin() as connection:
                return await producer.enqueue_async(connection, **mail)
        with self.engine.begin() as connection:
            return producer.enqueue(connection, **mail)

    async def several(self, count: int) -> list[UUID]:
        """Enqueue and commit so many mails to as many recipients."""

        def write(connection: Connection) -> list[UUID]:
            return [producer.enqueue(connection, **MAIL | {"to": f"user{n}@example.com"}) for n in range(count)]

        return await self.do(write)

    async def rows(self) -> dict[UUID, Row[Any]]:
        """The rows of the table, ordered by id."""
        rows = await self.do(lambda connection: connection.execute(select(PRODUCER)).all())
        return {row.id: row for row in rows}

    async def backlog(self) -> producer.Backlog:
        """The waiting rows."""
        return await self.do(producer.count_backlog)

    async def backdate(self, column: str, by: timedelta) -> None:
        """Move a time of all rows into the past."""
        then = datetime.now(UTC) - by
        time = then.replace(tzinfo=None) if self.url.startswith("sqlite") else then
        await self.do(lambda connection: connection.execute(update(PRODUCER).values({column: time})))

    async def close(self) -> None:
        """Close its database."""
        if isinstance(self.engine, AsyncEngine):
            await self.engine.dispose()
        else:
            self.engine.dispose()
