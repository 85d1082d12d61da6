"""A real PgBouncer in front of the tests' PostgreSQL, with its default settings."""

import os
import shutil
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
"""


class PgBouncer:
    """A PgBouncer that runs until the end of the block."""

    def __init__(self, server: PostgresServer | StandbyServer, mode: str, size: int) -> None:
        self._server = server
        self._mode = mode  # `transaction` or `session`
        self._size = size  # connections to the server
        self._port = notifier_process.find_free_port()

    def url(self, url: str) -> str:
        """The URL of a database of the server through this pooler."""
        return f"postgresql://{make_url(url).username}@127.0.0.1:{self._port}/{make_url(url).database}"

    def __enter__(self) -> Self:
        if PGBOUNCER is None:
            pytest.skip("PgBouncer is not installed")
        self._folder = Path(tempfile.mkdtemp(prefix="notifier-pooler-"))
        self._folder.chmod(0o755)  # it does not run as root, and reads this as another user
        target = make_url(self._server.url("postgres"))
        host, port = target.query.get("host") or target.host, target.port or 5432
        password = f" password={target.password}" if target.password else ""
        file = self._folder / "pgbouncer.ini"
        file.write_text(
            _CONFIGURATION.format(
                server=f"host={host} port={port}{password}",
                user=target.username,
                port=self._port,
                mode=self._mode,
                size=self._size,
            )
        )
        own: Any = getattr(self._server, "user", None)  # the socket is readable for the server's user only
        self._popen = subprocess.Popen([PGBOUNCER, "--quiet", str(file)], user=own, stderr=subprocess.DEVNULL, cwd="/")
        self._wait()
        return self

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
