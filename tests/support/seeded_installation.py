"""A seeded installation: a migrated database with two services, their keys and the shipped templates."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.clock import SystemClock
from notifier.db import migrations
from notifier.db.engine import Database
from notifier.rendering.pool import RenderingPool
from notifier.runtime import wiring
from notifier.settings import Settings
from notifier.templating.sync import template_files
from notifier.templating.sync.push import Push
from support import postgres_cluster
from support.documented_transport import DocumentedTransport

WELCOME = {"to": "ada@example.com", "template": "welcome", "variables": {"name": "Ada", "product": "Larkspur"}}
"""The smallest valid request."""


@dataclass(frozen=True)
class Keys:
    """API keys of the seeded services."""

    shop: str  # may send and read, from shop.example
    other: str  # of another service
    reader: str  # of the shop, may only read


async def seed_database(url: str) -> Keys:
    """Migrate an empty database and fill it."""
    database, clock = Database(url), SystemClock()
    await migrations.upgrade_schema(database)
    root = Path("templates")
    async with RenderingPool() as pool:
        push = Push(database=database, pool=pool, clock=clock, by="test", only_new=True)
        await push.run(root, template_files.list_slugs(root))
    async with database.write() as connection:
        now = clock.now()
        shop = await service_admin.create_service(connection, "shop", from_domains=["shop.example"], now=now)
        other = await service_admin.create_service(connection, "other", from_domains=[], now=now)
        made = Keys(
            shop=await key_admin.create_live_key(connection, shop, now=now),
            other=await key_admin.create_live_key(connection, other, now=now),
            reader=await key_admin.create_live_key(connection, shop, scopes=[KeyScope.READ], now=now),
        )
    await database.close()
    return made


class SqliteSeed:
    """A seeded SQLite file that is copied for each test."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "seed.sqlite3"
        self.keys = asyncio.run(seed_database(f"sqlite:///{self._file}"))

    def copy(self, folder: Path) -> str:
        """Copy the file, and return the URL of the copy."""
        target = folder / "notifier.sqlite3"
        shutil.copyfile(self._file, target)
        return f"sqlite:///{target}"


class PostgresSeed:
    """A seeded PostgreSQL database, used as the template of each test's own.

    One connection creates and drops all of them: to open one takes half as long as to copy the database.
    """

    def __init__(self, server: postgres_cluster.PostgresServer) -> None:
        self._server = server
        self._name = postgres_cluster.make_database_name()
        self._connection = self._connect()
        self._execute(f"CREATE DATABASE {self._name}")
        self.keys = asyncio.run(seed_database(server.url(self._name)))

    def create(self) -> str:
        """Create a copy of the seeded database, and return its name."""
        name = postgres_cluster.make_database_name()
        self._execute(f"CREATE DATABASE {name} TEMPLATE {self._name} STRATEGY file_copy")
        return name

    def drop(self, name: str) -> None:
        """Drop the database, even if there are connections."""
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Drop the seeded database."""
        self.drop(self._name)
        self._connection.close()

    def _connect(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(self._server.url("postgres"), autocommit=True)

    def _execute(self, statement: str) -> None:
        try:
            self._connection.execute(statement)
        except psycopg.OperationalError:  # a test has restarted the server
            self._connection.close()
            self._connection = self._connect()
            self._connection.execute(statement)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The settings of an installation with a database of the test's own, and its API keys."""

    settings: Settings
    keys: Keys

    @contextlib.asynccontextmanager
    async def open_parts(self) -> AsyncIterator[wiring.ProcessParts]:
        """Open the parts of one process."""
        async with wiring.open_process_parts(self.settings) as parts:
            yield parts

    @contextlib.asynccontextmanager
    async def open_client(
        self, parts: wiring.ProcessParts, key: str | None = None
    ) -> AsyncIterator[httpx2.AsyncClient]:
        """Open a client of the API on these parts, with the shop's key by default."""
        transport = DocumentedTransport(app=wiring.build_api(parts), raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {key or self.keys.shop}"}
        async with httpx2.AsyncClient(transport=transport, base_url="http://notifier", headers=headers) as client:
            yield client

    def with_settings(self, **changes: Any) -> "Installation":
        """Return a copy with changed settings. A group is passed as a dict and merged."""
        merged = {
            name: getattr(self.settings, name).model_copy(update=value) if isinstance(value, dict) else value
            for name, value in changes.items()
        }
        return Installation(settings=self.settings.model_copy(update=merged), keys=self.keys)
