"""Runs several sender processes: starts them, restarts one that dies, wakes them, and stops them together."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from notifier.telemetry.logging import get_logger

RESTART_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before a restart. A process that ran longer than the last of them starts the series again."""


@dataclass
class _Place:
    """The place of one sender, and the process that has it now."""

    number: int
    read_end: int  # of the pipe that each process in this place reads
    write_end: int  # a byte wakes the process; the kernel closes this end when the supervisor's process ends
    process: asyncio.subprocess.Process | None = None
    starts: int = 0


class ProcessSupervisor:
    """Runs `count` sender processes. They stop when this process dies, however that happens."""

    def __init__(self, count: int, arguments: Sequence[str] = (), *, drain: bool = False) -> None:
        self._arguments = arguments
        self._drain = drain  # a process that ends with status 0 is not restarted
        self._places = [_Place(number, *os.pipe()) for number in range(count)]
        for place in self._places:
            os.set_blocking(place.write_end, False)
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT, or until all have drained. Returns the highest exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        return await self.supervise()

    async def supervise(self) -> int:
        """Run until stopped, or until all have drained. Returns the highest exit status."""
        try:
            return max(await asyncio.gather(*(self._restart_forever(place) for place in self._places)))
        finally:
            self.kill()

    def stop(self) -> None:
        """Stop the processes: mails in flight finish within their grace period."""
        self._stopping.set()
        self._signal_all(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the processes at once: their mails are rescued by other senders."""
        self._stopping.set()
        self._signal_all(signal.SIGKILL)

    def wake(self) -> None:
        """Wake all senders. Any thread may call this. It never blocks."""
        for place in self._places:
            with contextlib.suppress(BlockingIOError):  # the pipe is full, so the sender will be woken anyway
                os.write(place.write_end, b"\0")

    def close_after_fork(self) -> None:
        """Close the pipes in a forked child of this process, which would otherwise keep the senders running."""
        for place in self._places:
            os.close(place.write_end)
        self._places = []  # the child may fork, too

    def list_processes(self) -> list[dict[str, int | None]]:
        """List the senders: process id (None: waits for its restart), and how often it was started."""
        return [
            {"pid": process.pid if (process := place.process) else None, "starts": place.starts}
            for place in self._places
        ]

    def _signal_all(self, number: signal.Signals) -> None:
        for place in self._places:
            if place.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    place.process.send_signal(number)

    async def _restart_forever(self, place: _Place) -> int:
        """Run one process, and restart it each time it ends by itself."""
        ends = 0
        while True:
            started = asyncio.get_running_loop().time()
            status = await self._run_process(place)
            if self._stopping.is_set() or (self._drain and status == 0):
                return status
            if asyncio.get_running_loop().time() - started > RESTART_DELAYS[-1]:
                ends = 0
            get_logger().warning("sender_process_ended", detail=f"process {place.number}", outcome=str(status))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESTART_DELAYS[min(ends, len(RESTART_DELAYS) - 1)]):
                    await self._stopping.wait()
            if self._stopping.is_set():
                return 0
            ends += 1

    async def _run_process(self, place: _Place) -> int:
        """Run a process until it ends. Returns its exit status, or 1 if it could not be started."""
        own = ["--number", str(place.number), "--supervisor-pipe", str(place.read_end)]
        command = [sys.executable, "-m", "notifier", "sender", *own, *self._arguments]
        place.starts += 1
        try:
            place.process = await asyncio.create_subprocess_exec(
                *command,
                pass_fds=[place.read_end],
                start_new_session=True,  # Ctrl-C reaches only this process, which then stops each of them once
            )
        except OSError as error:  # no memory or no process left; the next start may succeed
            get_logger().error("sender_process_not_started", error=type(error).__name__, reason=str(error))
            return 1
        if self._stopping.is_set():  # stopped while the process was being started
            self._signal_all(signal.SIGTERM)
        try:
            return await place.process.wait()
        finally:
            place.process = None
