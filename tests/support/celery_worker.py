"""A real Celery worker, in a process group of its own so that it can be killed with its children."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from uuid import uuid4

READY_SECONDS = 200.0
OPTIONS = ("--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat")


class CeleryWorker:
    """A worker of an application; `with` waits until it is ready, and stops it at the end."""

    def __init__(
        self, application: str, folder: Path, env: dict[str, str], *, concurrency: int = 2, options: Sequence[str] = ()
    ) -> None:
        command = [sys.executable, "-m", "celery", "--app", application, "worker", *OPTIONS]
        self._popen = subprocess.Popen(
            # RabbitMQ refuses a second worker of one name, also for a moment after the first was killed.
            [*command, "--concurrency", str(concurrency), "--hostname", f"{uuid4().hex}@%h", *options],
            cwd=folder,
            env=env,
            stderr=subprocess.STDOUT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.printed: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id of the main process."""
        return self._popen.pid

    def stop(self) -> int:
        """Stop it with SIGTERM, and return its exit status."""
        self.send(signal.SIGTERM)
        return self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send its main process a signal."""
        self._popen.send_signal(number)

    def wait(self) -> int:
        """Wait for its exit status."""
        return self._popen.wait(100)

    def kill(self) -> None:
        """Kill it and its children with SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def __enter__(self) -> Self:
        if not self._ready.wait(READY_SECONDS) or self._popen.poll() is not None:
            self.__exit__()
            raise AssertionError(f"the worker is not ready: {''.join(self.printed)}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
        self._reader.join()
        assert self._popen.stdout is not None
        self._popen.stdout.close()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self.printed.append(line)
            if line.rstrip().endswith(" ready."):
                self._ready.set()
        self._ready.set()
