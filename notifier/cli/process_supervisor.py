"""Runs several sender processes: starts them, restarts one that dies, and stops them together."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from notifier.telemetry.logging import get_logger

RESTART_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before a restart. A process that ran longer than the last of them starts the series again."""


class ProcessSupervisor:
    """Runs `count` sender processes. They stop when this process dies, however that happens."""

    def __init__(self, count: int, arguments: Sequence[str], *, drain: bool) -> None:
        self._count = count
        self._arguments = arguments
        self._drain = drain  # a process that ends with status 0 is not restarted
        self._pipe, self._write_end = os.pipe()  # the kernel closes the write end when this process ends
        self._stopping = asyncio.Event()
        self._running: set[asyncio.subprocess.Process] = set()

    async def run(self) -> int:
        """Run until stopped, or until all have drained. Returns the highest exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        try:
            return max(await asyncio.gather(*(self._restart_forever(number) for number in range(self._count))))
        finally:
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()

    def _stop(self) -> None:
        self._stopping.set()
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()

    async def _restart_forever(self, number: int) -> int:
        """Run one process, and restart it each time it ends by itself."""
        ends = 0
        while True:
            started = asyncio.get_running_loop().time()
            status = await self._start(number)
            if self._stopping.is_set() or (self._drain and status == 0):
                return status
            if asyncio.get_running_loop().time() - started > RESTART_DELAYS[-1]:
                ends = 0
            get_logger().warning("sender_process_ended", detail=f"process {number}", outcome=str(status))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESTART_DELAYS[min(ends, len(RESTART_DELAYS) - 1)]):
                    await self._stopping.wait()
            if self._stopping.is_set():
                return 0
            ends += 1

    async def _start(self, number: int) -> int:
        own = ["--number", str(number), "--until-closed", str(self._pipe)]
        command = [sys.executable, "-m", "notifier", "sender", *own, *self._arguments]
        process = await asyncio.create_subprocess_exec(
            *command,
            pass_fds=[self._pipe],
            start_new_session=True,  # Ctrl-C reaches only this process, which then stops each of them once
        )
        self._running.add(process)
        try:
            return await process.wait()
        finally:
            self._running.discard(process)
