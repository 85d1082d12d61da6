"""The relay of the measurements, and its limit: the rate of a source that only sends ready mails.

Postfix's `smtp-sink` and `smtp-source` (C on both ends) where they are installed, else a sink and a loop in Python.
"""

import asyncio
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from bench.rig.child_process import ChildFailedError, build_module_command, run_child

SESSIONS = 40
READY_SECONDS = 5.0
LIMIT_SECONDS = 60.0
_PATH = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"


@dataclass(frozen=True, kw_only=True)
class Relay:
    """A listening sink in a process of its own."""

    port: int
    pid: int  # of its process
    source: str | None  # Postfix's smtp-source; None: our own loop in Python
    sessions: int  # of the limit

    @property
    def limit_name(self) -> str:
        """The name of the source that measures the limit."""
        return f"smtp-source -d -s {self.sessions} → smtp-sink" if self.source else "bare asyncio loop → Python sink"

    async def limit(self, *, size: int, count: int) -> float:
        """Measure the messages per second that the sink accepts from a source with ready mails of this size."""
        started = time.perf_counter()
        async with asyncio.timeout(LIMIT_SECONDS):
            if self.source:
                options = ["-d", "-s", str(self.sessions), "-m", str(count), "-l", str(size)]
                envelope = ["-f", "a@example.com", "-t", "b@example.com"]
                process = await asyncio.create_subprocess_exec(
                    self.source, *options, *envelope, f"127.0.0.1:{self.port}"
                )
                try:
                    if await process.wait():
                        raise ChildFailedError("smtp-source failed")
                finally:
                    if process.returncode is None:
                        process.kill()
            else:
                await _push(self.port, size=size, count=count, sessions=self.sessions)
        return count / (time.perf_counter() - started)


@asynccontextmanager
async def run_relay(*, postfix: bool = True, sessions: int = SESSIONS) -> AsyncIterator[Relay]:
    """Run a sink until the block ends."""
    sink, source = (shutil.which(name, path=_PATH) if postfix else None for name in ("smtp-sink", "smtp-source"))
    if sink is None or source is None:
        async with run_child(build_module_command("smtp_sink"), {}) as child:
            yield Relay(port=int(await child.line()), pid=child.pid, source=None, sessions=sessions)
        return
    port = find_free_port()
    as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
    async with run_child([sink, *as_user, f"127.0.0.1:{port}", "1000"], {}) as child:
        await _until_open(port)
        yield Relay(port=port, pid=child.pid, source=source, sessions=sessions)


def find_free_port() -> int:
    """Find a port on which nothing listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _until_open(port: int) -> None:
    """Poll until smtp-sink is ready, because it does not report that."""
    async with asyncio.timeout(READY_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


async def _push(port: int, *, size: int, count: int, sessions: int) -> None:
    """Send mails over a few connections, command by command."""
    share = [count // sessions + (number < count % sessions) for number in range(sessions)]
    loop = asyncio.get_running_loop()
    lines = b"".join(b"%076d\r\n" % 0 for _ in range(size // 78 + 1))
    opened = [await loop.create_connection(partial(_Push, lines, n), "127.0.0.1", port) for n in share if n]
    try:
        await asyncio.gather(*(connection.over for _, connection in opened))
    finally:
        for transport, _ in opened:
            transport.close()


class _Push(asyncio.Protocol):
    """Run one connection of this loop."""

    def __init__(self, wire: bytes, mails: int) -> None:
        self._steps = [b"MAIL FROM:<a@example.com>\r\n", b"RCPT TO:<b@example.com>\r\n", b"DATA\r\n", wire + b".\r\n"]
        self._left = mails * len(self._steps)
        self._greeted = 0
        self._open: asyncio.Transport | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._open = transport

    def data_received(self, data: bytes) -> None:
        assert self._open is not None
        if not data.startswith((b"220", b"250", b"354")) or not data.endswith(b"\n"):
            self.connection_lost(ConnectionError(f"the sink said {data!r}"))
        elif not self._greeted:
            self._greeted = 1
            self._open.write(b"HELO source.example\r\n")
        elif self._left:
            self._open.write(self._steps[-self._left % len(self._steps)])
            self._left -= 1
        elif not self.over.done():
            self.over.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(exc or ConnectionError("the sink closed the connection"))
