"""A seeded installation: a migrated database with two services, their keys and the shipped templates."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from notifier import wiring
from notifier.auth import keys, scope
from notifier.clock import SystemClock
from notifier.db import migrate
from notifier.db.engine import Database
from notifier.rendering.pool import RenderingPool
from notifier.settings import Settings
from notifier.templating.folder import files
from notifier.templating.folder.push import Push
from parts import postgres
from parts.described import DescribedTransport

WELCOME = {"to": "ada@example.com", "template": "welcome", "variables": {"name": "Ada", "product": "Larkspur"}}
"""The smallest valid request."""


@dataclass(frozen=True)
class Keys:
    """API keys of the seeded services."""

    shop: str  # may send and read, from shop.example
    other: str  # of another service
    reader: str  # of the shop, may only read


async def seed(url: str) -> Keys:
    """Migrate an empty database and fill it."""
    database, clock = Database(url), SystemClock()
    await migrate.upgrade(database)
    root = Path("templates")
    async with RenderingPool() as pool:
        push = Push(database=database, pool=pool, clock=clock, by="test", only_new=True)
        await push.run(root, files.slugs(root))
    async with database.write() as connection:
        now = clock.now()
        shop = await keys.create_service(connection, "shop", from_domains=["shop.example"], now=now)
        other = await keys.create_service(connection, "other", from_domains=[], now=now)
        made = Keys(
            shop=await keys.create_key(connection, shop, now=now),
            other=await keys.create_key(connection, other, now=now),
            reader=await keys.create_key(connection, shop, scopes=[scope.Scope.READ], now=now),
        )
    await database.close()
    return made


class SqliteSeed:
    """A seeded SQLite file that is copied for each test."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "seed.sqlite3"
        self.keys = asyncio.run(seed(f"sqlite:///{self._file}"))

    def copy(self, folder: Path) -> str:
        """Copy the file, and return the URL of the copy."""
        target = folder / "notifier.sqlite3"
        shutil.copyfile(self._file, target)
        return f"sqlite:///{target}"


class PostgresSeed:
    """A seeded PostgreSQL database, used as the template of each test's own."""

    def __init__(self, server: postgres.PostgresServer) -> None:
        self._server = server
        self._name = postgres.fresh_name()
        postgres.execute(server.url("postgres"), f"CREATE DATABASE {self._name}")
        self.keys = asyncio.run(seed(server.url(self._name)))

    def create(self) -> str:
        """Create a copy of the seeded database, and return its name."""
        name = postgres.fresh_name()
        copied = f"TEMPLATE {self._name} STRATEGY file_copy"
        postgres.execute(self._server.url("postgres"), f"CREATE DATABASE {name} {copied}")
        return name

    def drop(self, name: str) -> None:
        """Drop it, even if somebody is still connected."""
        postgres.execute(self._server.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Drop the seeded database."""
        self.drop(self._name)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The settings of an installation with a database of the test's own, and its API keys."""

    settings: Settings
    keys: Keys

    @contextlib.asynccontextmanager
    async def base(self) -> AsyncIterator[wiring.Base]:
        """Open the parts of one process."""
        async with wiring.base(self.settings) as parts:
            yield parts

    @contextlib.asynccontextmanager
    async def client(self, parts: wiring.Base, key: str | None = None) -> AsyncIterator[httpx2.AsyncClient]:
        """A caller of the API over these parts, as the shop unless another key is given."""
        transport = DescribedTransport(app=wiring.api(parts), raise_app_exceptions=False)
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
