"""A real Redis in a temporary folder, as a broker of Celery."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import pytest

from support import notifier_process

REDIS = shutil.which("redis-server", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
READY_SECONDS = 20.0


class RedisServer:
    """A Redis that runs until the end of the block, and writes nothing to the disk."""

    def __init__(self) -> None:
        self._port = notifier_process.find_free_port()

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"redis://127.0.0.1:{self._port}/0"

    def __enter__(self) -> Self:
        if REDIS is None:
            pytest.skip("redis-server is not installed")
        self._folder = Path(tempfile.mkdtemp(prefix="notifier-redis-"))
        options = ("--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        self._popen = subprocess.Popen([REDIS, *options], cwd=self._folder, stdout=subprocess.DEVNULL)
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until and self._popen.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return self
            time.sleep(0.02)
        raise AssertionError(f"Redis does not listen (exit {self._popen.poll()})")

    def __exit__(self, *_: object) -> None:
        self._popen.terminate()
        self._popen.wait(20)
        shutil.rmtree(self._folder)
