"""A rendering child as a process: forked by a forkserver, asked over its connection, replaced when it is lost."""

import asyncio
import contextlib
import math
import os
import socket
import sys
import time
from collections import OrderedDict
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess

import msgspec
from msgspec.structs import replace

from notifier.errors import NotifierError
from notifier.rendering.child_connection import ChildConnection
from notifier.rendering.child_program import MAX_KNOWN_VERSIONS, serve_requests
from notifier.rendering.protocol import (
    CheckRequest,
    ChildAnswer,
    ChildRequest,
    CompareRequest,
    PreviewRequest,
    RenderBatchRequest,
)
from notifier.telemetry import metrics

START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 1.0
FORK_TRIES = 5
FORK_RETRY_SECONDS = 0.1
MAX_DEFAULT_CHILDREN = 4
"""Children without a setting: one sender process cannot keep more of them busy."""
SOCKET_BUFFER_BYTES = 1024 * 1024
"""Bytes that the socket should hold each way: a whole batch, so that the child need not wait until it is read."""

PRELOADED_MODULES = ["notifier.rendering.child_program", "notifier.cli.main"]
"""Modules that the forkserver imports once. The second because a child runs the script of its parent again, which
imports the command line: 100 ms for each child otherwise."""

_ENCODER = msgspec.msgpack.Encoder()


class ChildProcess:
    """One child; when its process is lost, another takes its place."""

    def __init__(self, *, nice: int = 0, public_url: str | None = None) -> None:
        self._public_url = public_url
        self.pending_requests = 0  # requests under way
        self.cpu_seconds = 0.0  # processor seconds that requests have taken, as far as the system tells
        self._nice = nice  # its niceness, added to ours
        self._has_answered = False  # the present process has
        self._stopping = False
        self._replacing: asyncio.Task[None] | None = None
        self._connection: asyncio.Task[ChildConnection] | None = None  # shared by all who wait for the start
        self._process: ForkServerProcess | None = None
        self._known: OrderedDict[str, None] = OrderedDict()  # mirrors the child's cache of compiled versions

    async def start(self) -> ChildConnection:
        """Return the connection to the process, and start one if there is none any more."""
        if self._connection is not None and self._connection.done() and _is_lost(self._connection):
            metrics.RENDER_CHILDREN_KILLED.inc()
            self._connection = None
        if self._connection is None:
            self._connection = asyncio.create_task(self._start_process())
        return await asyncio.shield(self._connection)

    async def ask(self, request: ChildRequest, wall: float) -> ChildAnswer:
        """Send one request; its answer comes at most `wall` seconds after the one before. Raises `ChildLostError`."""
        self.pending_requests += 1
        try:
            connection = await self.start()
            answer = await self._send(connection, request, wall)
            self._has_answered = True
            return answer
        finally:
            self.pending_requests -= 1

    def _send(self, connection: ChildConnection, request: ChildRequest, wall: float) -> asyncio.Future[ChildAnswer]:
        """Send the request without the sources that the child has; `_known` forgets versions in step with the child."""
        if isinstance(request, CheckRequest):
            return connection.send_request(_ENCODER.encode(request), wall)
        versions = _list_versions(request)
        new = {version: request.sources[version] for version in versions if version not in self._known}
        answer = connection.send_request(_ENCODER.encode(replace(request, sources=new)), wall)
        for version in versions:
            self._known[version] = None
            self._known.move_to_end(version)
        while len(self._known) > MAX_KNOWN_VERSIONS:
            self._known.popitem(last=False)
        return answer

    async def _start_process(self) -> ChildConnection:
        process, our_socket = await asyncio.to_thread(_fork_child, self._nice, self._public_url)
        self._process = process
        self._has_answered = False
        self._known.clear()
        loop = asyncio.get_running_loop()
        pid = process.pid
        _, connection = await loop.create_unix_connection(
            lambda: ChildConnection(
                lambda: get_cpu_seconds(pid), lambda: self._handle_loss(process), self._add_cpu_seconds
            ),
            sock=our_socket,
        )
        try:
            await connection.wait_until_ready(START_TIMEOUT_SECONDS)
        except TimeoutError:
            await connection.close()
            _kill_process(process)
            raise
        return connection

    def _handle_loss(self, process: ForkServerProcess) -> None:
        """Start a replacement at once, unless the child never answered and nobody waits for it."""
        _kill_process(process)
        if not self._stopping and (self._has_answered or self.pending_requests):
            self._replacing = asyncio.get_running_loop().create_task(self._start_replacement())

    def _add_cpu_seconds(self, seconds: float) -> None:
        if math.isfinite(seconds):
            self.cpu_seconds += max(0.0, seconds)
            metrics.RENDER_CPU_SECONDS.inc(max(0.0, seconds))

    async def _start_replacement(self) -> None:
        if not self._stopping:
            with contextlib.suppress(NotifierError, OSError):  # the next request meets the same error
                await self.start()

    async def stop(self) -> None:
        """Close the connection, on which the child ends by itself; kill it if it does not."""
        self._stopping = True
        if self._connection is not None:
            with contextlib.suppress(NotifierError, OSError):  # it was lost before, or could not be started
                await (await self._connection).close()
        if self._process is not None:
            await asyncio.to_thread(self._process.join, STOP_TIMEOUT_SECONDS)
            if self._process.is_alive():
                self._process.kill()
                await asyncio.to_thread(self._process.join, STOP_TIMEOUT_SECONDS)


def _list_versions(request: RenderBatchRequest | PreviewRequest | CompareRequest) -> list[str]:
    """List the versions that the request uses, in the child's order."""
    if isinstance(request, CompareRequest):
        versions = [request.before, request.after]
    else:
        versions = [job.version for job in ([request.job] if isinstance(request, PreviewRequest) else request.jobs)]
    return [version for version in versions if version is not None]


def _is_lost(connection: asyncio.Task[ChildConnection]) -> bool:
    return connection.cancelled() or connection.exception() is not None or connection.result().is_lost


def get_forkserver() -> ForkServerContext:
    """Get the one server process that forks children; it has the libraries of rendering loaded."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED_MODULES)
    return context


def _fork_child(nice: int, public_url: str | None) -> tuple[ForkServerProcess, socket.socket]:
    """Fork a child from a server process that has the libraries loaded: about 20 ms instead of 150."""
    context = get_forkserver()
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    process = context.Process(
        target=serve_requests, args=(theirs, nice, public_url), daemon=True, name="notifier-rendering"
    )
    _start_with_retries(process)
    theirs.close()
    ours.setblocking(False)  # noqa: FBT003 - the library's own signature
    return process, ours


def _start_with_retries(process: ForkServerProcess) -> None:
    """Start the process. The server process may just have been killed: then the next try starts another."""
    for tries_left in reversed(range(FORK_TRIES)):
        try:
            process.start()
        except (EOFError, ConnectionError):
            if not tries_left:
                raise
            time.sleep(FORK_RETRY_SECONDS)
        else:
            return


def _kill_process(process: ForkServerProcess) -> None:
    with contextlib.suppress(Exception):
        process.kill()


def get_cpu_seconds(pid: int | None) -> float:
    """Get the processor seconds that a process has used so far; infinite where the system does not say."""
    if pid is None or not sys.platform.startswith("linux"):
        return math.inf
    try:
        return time.clock_gettime(~pid << 3 | 2)  # Linux: the CPU-time clock of another process
    except OSError:
        return math.inf


def suggest_child_count(processors: int) -> int:
    """Suggest how many children a sender should have: it, the database and the relay need processors as well."""
    return min(MAX_DEFAULT_CHILDREN, max(1, processors // 2))


def count_processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
