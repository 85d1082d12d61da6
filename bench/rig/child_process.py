"""Child processes that are measured: started with settings in the environment, and always stopped at the end."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from bench.rig import process_tree

READY_SECONDS = 60.0
STOP_SECONDS = 15.0
ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())
NOTIFIER = str(Path(sys.executable).parent / "notifier")


class ChildFailedError(RuntimeError):
    """A measured process ended, or was not ready in time."""


class Child:
    """A child process and its output."""

    def __init__(self, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def line(self) -> str:
        """Return its next line on stdout. Raises `ChildFailedError` after a timeout."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(READY_SECONDS):
                line = await self._process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            raise ChildFailedError(f"a process was not ready in {READY_SECONDS:g} s:\n{self._last_words()}")
        return line.decode().strip()

    async def lines(self, *, seconds: float) -> list[str]:
        """Read the rest of its stdout."""
        assert self._process.stdout is not None
        async with asyncio.timeout(seconds):
            return (await self._process.stdout.read()).decode().splitlines()

    async def finished(self, *, seconds: float) -> None:
        """Wait until it ends by itself. Raises `ChildFailedError` if it fails."""
        async with asyncio.timeout(seconds):
            code = await self._process.wait()
        if code:
            raise ChildFailedError(f"a process ended with {code}:\n{self._last_words()}")

    def log_lines(self) -> int:
        """Count the lines that it has written to stderr so far."""
        return os.pread(self._errors.fileno(), 1 << 26, 0).count(b"\n")

    def cpu_seconds(self) -> float:
        """Its CPU time without its children; NaN where there is no /proc."""
        return process_tree.read_cpu_seconds(self.pid)

    async def terminate(self) -> None:
        """Send SIGTERM; it may still write output."""
        self._process.terminate()

    async def stop(self) -> None:
        """End it with SIGTERM, then with SIGKILL, together with its children."""
        family = list(process_tree.list_members(self.pid))[1:]
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _last_words(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-3000:].decode(errors="replace")


@asynccontextmanager
async def run_child(command: Sequence[str], settings: Mapping[str, str]) -> AsyncIterator[Child]:
    """Run a process with these `NOTIFIER_…` settings and no others until the end of the block."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NOTIFIER_")}
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=inherited | dict(settings),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
        child = Child(process, errors)
        try:
            yield child
        finally:
            await child.stop()


def build_module_command(name: str) -> list[str]:
    """Build the command that runs a module of `bench.rig` with this interpreter."""
    return [sys.executable, "-m", f"bench.rig.{name}"]
