"""Real `notifier` processes: started as a user would, stopped by signals, and never left running."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

from support.command_server import CommandServer, ForkedCommand

NOTIFIER = Path(sys.executable).with_name("notifier")
READY_SECONDS = 200.0
COMMAND_SECONDS = 200.0
_COMMANDS = CommandServer()


def build_environment(folder: Path, **settings: str) -> dict[str, str]:
    """Build the environment of a process: no `NOTIFIER_…` variables except these settings (without the prefix)."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NOTIFIER_")}
    variables = {f"NOTIFIER_{name}": value for name, value in settings.items()}
    return inherited | {"NOTIFIER_DATA_DIR": str(folder)} | variables


def without_coverage(environment: dict[str, str]) -> dict[str, str]:
    """The environment without coverage, which is slow and useless for foreign programs."""
    return {name: value for name, value in environment.items() if not name.startswith(("COV_", "COVERAGE_"))}


def run_notifier(
    *arguments: str, env: dict[str, str], check: bool = True, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command and wait for its end."""
    if _COMMANDS.can_run(env):
        status, out, err = _COMMANDS.run(list(arguments), env, cwd or Path.cwd(), seconds=COMMAND_SECONDS)
        done = subprocess.CompletedProcess([str(NOTIFIER), *arguments], status, out, err)
        if check:
            done.check_returncode()
        return done
    return subprocess.run(
        [str(NOTIFIER), *arguments], env=env, cwd=cwd, check=check, capture_output=True, text=True, timeout=100
    )


def run_script(script: str, env: dict[str, str], **put_in: str) -> str:
    """Run the shell lines of a document with replacements, and return their output."""
    for placeholder, real in put_in.items():
        assert placeholder in script
        script = script.replace(placeholder, real)
    env = env | {"PATH": f"{NOTIFIER.parent}{os.pathsep}{env['PATH']}"}
    command = ["bash", "-euc", script]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=100).stdout


def find_free_port() -> int:
    """Find a port on which nothing listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NotifierProcess:
    """A `notifier` command that keeps running; its first line says that it is ready.

    Its imports are done already (`command_server`), unless it is `fresh`: then it is started as a user starts it.
    """

    def __init__(self, *arguments: str, env: dict[str, str], cwd: Path | None = None, fresh: bool = False) -> None:
        reads, writes = zip(os.pipe(), os.pipe(), strict=True)
        self._streams = [os.fdopen(read) for read in reads]
        self._popen: subprocess.Popen[bytes] | ForkedCommand
        if fresh or not _COMMANDS.can_run(env):
            self._popen = subprocess.Popen(
                [str(NOTIFIER), *arguments], env=env, cwd=cwd, stdout=writes[0], stderr=writes[1]
            )
        else:
            self._popen = _COMMANDS.start(list(arguments), env, cwd or Path.cwd(), *writes)
        for write in writes:
            os.close(write)
        self.printed: list[str] = []  # to stdout, so far
        self._errors: list[str] = []
        self._wrote = threading.Condition()
        self._lines: queue.Queue[str] = queue.Queue()
        self._readers = [threading.Thread(target=self._read, args=(n,), daemon=True) for n in (0, 1)]
        for reader in self._readers:
            reader.start()

    def wait_until_ready(self) -> str:
        """Wait for its first line."""
        line = self._lines.get(timeout=READY_SECONDS)
        if not line:
            raise AssertionError(f"exit {self.wait()}: {self.errors}")
        return line.strip()

    def wait_until_ready_json(self) -> dict[str, Any]:
        """Wait for its first line, and parse it as JSON."""
        line: dict[str, Any] = json.loads(self.wait_until_ready())
        return line

    def wait_for_line(self, start: str) -> str:
        """Wait for the next line that begins with this text."""
        while line := self._lines.get(timeout=READY_SECONDS):
            if line.startswith(start):
                return line.strip()
        raise AssertionError(f"no line starts with {start!r}")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def errors(self) -> str:
        """Its stderr so far."""
        return "".join(self._errors)

    def wait_for_error(self, text: str) -> None:
        """Wait until its stderr contains this text."""
        with self._wrote:
            assert self._wrote.wait_for(lambda: text in self.errors, READY_SECONDS), self.errors

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def wait(self, seconds: float = 100.0) -> int:
        """Wait for its exit status."""
        return self._popen.wait(seconds)

    def stop(self) -> int:
        """Send SIGTERM, and return its exit status."""
        self.send(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._popen.kill()
        self._popen.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(100)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        for reader in self._readers:
            reader.join()
        for stream in self._streams:
            stream.close()

    def _read(self, number: int) -> None:
        for line in self._streams[number]:
            if number == 0:
                self.printed.append(line)
                self._lines.put(line)
            else:
                with self._wrote:
                    self._errors.append(line)
                    self._wrote.notify_all()
        if number == 0:
            self._lines.put("")
