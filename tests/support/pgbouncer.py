"""A real PgBouncer in front of the tests' PostgreSQL, with its default settings."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import pytest
from sqlalchemy import make_url

from support import notifier_process
from support.postgres_cluster import PostgresServer
from support.standby_server import StandbyServer

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
READY_SECONDS = 20.0
_CONFIGURATION = """
[databases]
* = {server} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
{more}
"""


class PgBouncer:
    """A PgBouncer that runs until the end of the block."""

    def __init__(self, server: PostgresServer | StandbyServer, mode: str, size: int, *, more: str = "") -> None:
        self._server = server
        self._mode = mode  # `transaction` or `session`
        self._size = size  # connections to the server
        self._more = more  # lines of its configuration
        self._port = notifier_process.find_free_port()

    def url(self, url: str) -> str:
        """The URL of a database of the server through this pooler."""
        return f"postgresql://{make_url(url).username}@127.0.0.1:{self._port}/{make_url(url).database}"

    def __enter__(self) -> Self:
        if PGBOUNCER is None:
            pytest.skip("PgBouncer is not installed")
        self._folder = Path(tempfile.mkdtemp(prefix="notifier-pooler-"))
        self._folder.chmod(0o755)  # it does not run as root, and reads this as another user
        self._configure(self._server.url("postgres"))
        self.start()
        return self

    def start(self) -> None:
        """Start it, also again after `kill`, on the same port."""
        own: Any = getattr(self._server, "user", None)  # the socket is readable for the server's user only
        command = [str(PGBOUNCER), "--quiet", str(self._file)]
        self._popen = subprocess.Popen(command, user=own, stderr=subprocess.DEVNULL, cwd="/")
        self._wait()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._popen.kill()
        self._popen.wait(10)

    def move_to(self, url: str) -> None:
        """Send connections to the server of the URL from now on, as an operator does: new file, and RELOAD."""
        self._configure(url)
        self._popen.send_signal(signal.SIGHUP)

    @property
    def _file(self) -> Path:
        return self._folder / "pgbouncer.ini"

    def _configure(self, url: str) -> None:
        target = make_url(url)
        host, port = target.query.get("host") or target.host, target.port or 5432
        password = f" password={target.password}" if target.password else ""
        text = _CONFIGURATION.format(
            server=f"host={host} port={port}{password}",
            user=target.username,
            port=self._port,
            mode=self._mode,
            size=self._size,
            more=self._more,
        )
        self._file.write_text(text)

    def __exit__(self, *_: object) -> None:
        self._popen.terminate()
        self._popen.wait(10)
        shutil.rmtree(self._folder)

    def _wait(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until and self._popen.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"PgBouncer does not listen (exit {self._popen.poll()})")
