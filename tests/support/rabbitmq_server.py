"""A real RabbitMQ of the test's own, as a broker of Celery: Debian's, as a separate node in a temporary folder."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import pytest

from support import notifier_process

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The command itself: the one in `/usr/sbin` changes to the user of the machine's service."""
READY = "Server startup complete"
READY_SECONDS = 200.0
SCHEDULERS = "+S 1:1 +SDio 1 +A 4"
"""Few threads: with the defaults a start takes a third more processor time."""


class RabbitmqServer:
    """A RabbitMQ that runs until the end of the block, beside any other on this machine.

    It has its own ports, data, cookie and port mapper (epmd). The kernel kills it if the thread that started it ends.
    """

    def __init__(self) -> None:
        self._port, self._epmd_port, self._node_port = (notifier_process.find_free_port() for _ in range(3))
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """The URL of its virtual host, for its user `guest`."""
        return f"amqp://guest:guest@127.0.0.1:{self._port}//"

    def __enter__(self) -> Self:
        if not RABBITMQ.exists():
            pytest.skip("rabbitmq-server is not installed (apt-get install rabbitmq-server)")
        self._folder = Path(tempfile.mkdtemp(prefix="notifier-rabbitmq-"))
        self._log = self._folder / "log.txt"
        try:
            self._start("epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1")
            self._start(str(RABBITMQ))
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)  # Erlang's helpers end a moment after it, with a file open

    def _start(self, *command: str) -> None:
        with self._log.open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", *command],
                    cwd=self._folder,
                    env=self._build_environment(),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def _build_environment(self) -> dict[str, str]:
        folder = str(self._folder)
        return {
            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/bin",
            "HOME": folder,  # for the cookie
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RUNNING_UNDER_SYSTEMD": "true",  # no shell stays between us and the server
            "RABBITMQ_NODENAME": f"notifier-{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/rabbitmq-env.conf",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": SCHEDULERS,
        }

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while READY not in (log := self._log.read_text(errors="replace")):
            server = self._processes[-1]
            if server.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"RabbitMQ is not ready (exit {server.poll()}): {log[-3000:]}")
            time.sleep(0.05)
