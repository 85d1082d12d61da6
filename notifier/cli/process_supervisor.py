"""Several sender processes under one command: started together, replaced when one dies, stopped together."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from notifier.telemetry.logging import get_logger

RESTART_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits before a process that ended by itself is started again; one that lasted longer than the last begins anew."""


class ProcessSupervisor:
    """So many processes that run the same command, and stop when this one dies."""

    def __init__(self, count: int, arguments: Sequence[str], *, drain: bool) -> None:
        self._count = count
        self._arguments = arguments
        self._drain = drain  # a process that ends well has nothing left to do
        self._here, self._held = os.pipe()  # its end is the end of this process, however that comes
        self._stopping = asyncio.Event()
        self._running: set[asyncio.subprocess.Process] = set()

    async def run(self) -> int:
        """Until they are told to stop, or all have drained; the worst exit status."""
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
        """One of them, started again each time it ends without having been told to."""
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
        own = ["--number", str(number), "--until-closed", str(self._here)]
        command = [sys.executable, "-m", "notifier", "sender", *own, *self._arguments]
        process = await asyncio.create_subprocess_exec(
            *command,
            pass_fds=[self._here],
            start_new_session=True,  # Ctrl-C at the terminal reaches this process alone, which stops each of them once
        )
        self._running.add(process)
        try:
            return await process.wait()
        finally:
            self._running.discard(process)
