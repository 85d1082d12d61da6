"""Databases to measure on, durable PostgreSQL and SQLite: migrated, with one service, its key and the templates."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import make_url, text

from bench.rig import postgres_server
from bench.rig.child_process import ROOT
from bench.rig.postgres_server import Server
from notifier.auth import key_admin, service_admin
from notifier.clock import SystemClock
from notifier.db import migrations
from notifier.db.engine import Database
from notifier.rendering.pool import RenderingPool
from notifier.templating.sync import template_files
from notifier.templating.sync.push import Push

TEMPLATES = (ROOT / "templates", ROOT / "bench" / "templates")


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One seeded database, and the settings of its processes."""

    url: str
    key: str  # of a service that may send and read
    data_dir: Path
    log: Path | None = None  # of the PostgreSQL server, if it is our own

    @property
    def is_postgresql(self) -> bool:
        """True unless it is SQLite."""
        return not self.url.startswith("sqlite")

    @property
    def name(self) -> str:
        """The database's name on its server."""
        return str(make_url(self.url).database)

    def settings(self, *, smtp_port: int = 1) -> dict[str, str]:
        """Build the environment of a process; without a port it has no relay."""
        return {
            "NOTIFIER_DATABASE_URL": self.url,
            "NOTIFIER_DATA_DIR": str(self.data_dir),
            "NOTIFIER_FROM": "Notifier <notifier@instance.example>",
            "NOTIFIER_RECIPIENTS__MODE": "live",
            "NOTIFIER_SMTP__HOST": "127.0.0.1",
            "NOTIFIER_SMTP__PORT": str(smtp_port),
            # Rate limits are counted, but never reached.
            "NOTIFIER_API__RATE_PER_MINUTE": "1000000000",
            "NOTIFIER_API__SERVICE_RATE_PER_MINUTE": "1000000000",
        }

    async def count(self, status: str | None = None) -> int:
        """Count all notifications, or those of a status."""
        database = Database(self.url)
        try:
            async with database.read() as connection:
                where = " WHERE status = :status" if status else ""
                statement = text(f"SELECT count(*) FROM notification{where}")
                result = await connection.execute(statement, {"status": status} if status else {})
                return int(result.scalar_one())
        finally:
            await database.close()


class Installations:
    """Makes installations, each a copy of a seeded one."""

    def __init__(self, folder: Path, server_: Server) -> None:
        self._folder = folder
        self._server = server_
        self._made: list[str] = []
        self._keys: dict[str, str] = {}
        self._seed_name = ""

    async def seed(self) -> None:
        """Seed one database of each kind; the others are copies of these."""
        self._seed_name = await self._create_database(template=None)
        urls = {"sqlite": self._seed_file_url(), "postgresql": self._server.url(self._seed_name)}
        async with RenderingPool() as pool:
            for name, url in urls.items():
                self._keys[name] = await _seed(url, pool)

    async def sqlite(self) -> Installation:
        """Create a SQLite installation in a new data directory."""
        data_dir = Path(tempfile.mkdtemp(dir=self._folder))
        file = data_dir / "notifier.sqlite3"
        shutil.copyfile(self._folder / "seed.sqlite3", file)
        return Installation(url=f"sqlite:///{file}", key=self._keys["sqlite"], data_dir=data_dir)

    async def postgresql(self) -> Installation:
        """Create a seeded database on the PostgreSQL server."""
        return await self._copy(self._seed_name)

    async def empty(self) -> Installation:
        """Create an empty PostgreSQL database."""
        return await self._copy(None)

    async def copy(self, filled: Installation) -> Installation:
        """Create a database with the same rows; the first one must have no connections."""
        return await self._copy(filled.name)

    async def remove(self, installation: Installation) -> None:
        """Drop a PostgreSQL database that is not needed any more, to free its space."""
        await self._execute(f"DROP DATABASE IF EXISTS {installation.name} WITH (FORCE)")

    async def drop(self) -> None:
        """Remove every database that was made."""
        for name in reversed(self._made):
            await self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def _copy(self, name: str | None) -> Installation:
        url = self._server.url(await self._create_database(template=name))
        data_dir = Path(tempfile.mkdtemp(dir=self._folder))
        return Installation(url=url, key=self._keys["postgresql"], data_dir=data_dir, log=self._server.log)

    def _seed_file_url(self) -> str:
        return f"sqlite:///{self._folder / 'seed.sqlite3'}"

    async def _create_database(self, template: str | None) -> str:
        name = f"notifier_bench_{uuid4().hex[:12]}"
        await self._execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        self._made.append(name)
        return name

    async def _execute(self, statement: str) -> None:
        await postgres_server.execute_statements(self._server.url("postgres"), statement)


@asynccontextmanager
async def open_installations() -> AsyncIterator[Installations]:
    """Yield a maker of seeded databases; everything is removed at the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="notifier-bench-"))
    try:
        running = await asyncio.to_thread(postgres_server.start_server)
        try:
            made = Installations(folder, running)
            try:
                await made.seed()
                yield made
            finally:
                if running.log is None:
                    await made.drop()
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def read_sample(template: str) -> Mapping[str, Any]:
    """Read the sample of a shipped template, or of one of the benchmark's own."""
    files = [root / template / "sample.json" for root in TEMPLATES]
    variables: Mapping[str, Any] = json.loads(next(file for file in files if file.is_file()).read_text())
    return variables


async def _seed(url: str, pool: RenderingPool) -> str:
    """Migrate an empty database, publish the templates, and create a service; return its key."""
    database, clock = Database(url), SystemClock()
    try:
        await migrations.upgrade_schema(database)
        push = Push(database=database, pool=pool, clock=clock, by="bench")
        for root in TEMPLATES:
            await push.run(root, template_files.list_slugs(root))
        async with database.write() as connection:
            service = await service_admin.create_service(connection, "bench", from_domains=[], now=clock.now())
            return await key_admin.create_live_key(connection, service, now=clock.now())
    finally:
        await database.close()
