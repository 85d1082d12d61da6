"""Brokers of Celery: a Redis, and one that accepts connections and never answers."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.rig.child_process import ChildFailedError, run_child
from bench.rig.relay import find_free_port

READY_SECONDS = 10.0
_PATH = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"


@asynccontextmanager
async def run_redis() -> AsyncIterator[str]:
    """Run a Redis that writes nothing to the disk; yields its URL."""
    program = shutil.which("redis-server", path=_PATH)
    if program is None:
        raise ChildFailedError("redis-server is not installed")
    port = find_free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/tmp"]
    async with run_child([program, *options], {}):
        await _wait_until_open(port)
        yield f"redis://127.0.0.1:{port}/0"


async def _wait_until_open(port: int) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def run_hanging_broker() -> AsyncIterator[str]:
    """Run a broker that reads requests and answers none; yields its URL."""

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(read, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()
