"""A rendering child as a process: started from a forkserver, asked over its link, replaced as soon as it is lost."""

import asyncio
import contextlib
import math
import socket
import sys
import time
from collections import OrderedDict
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess

import msgspec
from msgspec.structs import replace

from notifier.errors import NotifierError
from notifier.rendering.child import KNOWN_LIMIT, serve
from notifier.rendering.job import Answer, Check, Compare, Render, Request, Show
from notifier.rendering.link import Link
from notifier.telemetry import metrics

START_SECONDS = 30.0
STOP_SECONDS = 1.0
SOCKET_ROOM = 1024 * 1024
"""Bytes that the socket should hold each way: a whole batch, so that the child need not wait until it is read."""

PRELOADED = ["notifier.rendering.child", "notifier.cli.main"]
"""What the forkserver has at hand; the latter because a child runs the script again that its parent was started with,
which imports the command line: 100 ms for each child, if it is not there."""

_ENCODER = msgspec.msgpack.Encoder()


class ChildProcess:
    """One child; when its process is lost, another takes its place."""

    def __init__(self, *, nice: int = 0, public_url: str | None = None) -> None:
        self._public_url = public_url
        self.asked = 0  # requests under way
        self.worked = 0.0  # processor seconds that requests have taken, as far as the system tells
        self._nice = nice  # how much less than ours its claim to the processor is
        self._answered = False  # the present process has been of use
        self._stopping = False
        self._replacing: asyncio.Task[None] | None = None
        self._link: asyncio.Task[Link] | None = None  # shared by all who wait for the start
        self._process: ForkServerProcess | None = None
        self._known: OrderedDict[str, None] = OrderedDict()  # mirrors the child's cache of compiled versions

    async def start(self) -> Link:
        """The link to the process, which is started if there is none any more."""
        if self._link is not None and self._link.done() and _is_lost(self._link):
            metrics.RENDER_CHILDREN_KILLED.inc()
            self._link = None
        if self._link is None:
            self._link = asyncio.create_task(self._started())
        return await asyncio.shield(self._link)

    async def ask(self, request: Request, wall: float) -> Answer:
        """One request, one answer, at most `wall` seconds after the one before it; raises `ChildLostError`."""
        self.asked += 1
        try:
            link = await self.start()
            answer = await self._send(link, request, wall)
            self._answered = True
            return answer
        finally:
            self.asked -= 1

    def _send(self, link: Link, request: Request, wall: float) -> asyncio.Future[Answer]:
        """Write the request without the sources that the child has, and forget in step with it what it forgets."""
        if isinstance(request, Check):
            return link.ask(_ENCODER.encode(request), wall)
        new = {version: source for version, source in request.sources.items() if version not in self._known}
        answer = link.ask(_ENCODER.encode(replace(request, sources=new)), wall)
        for version in _versions(request):
            if version is not None:
                self._known[version] = None
                self._known.move_to_end(version)
        while len(self._known) > KNOWN_LIMIT:
            self._known.popitem(last=False)
        return answer

    async def _started(self) -> Link:
        process, connection = await asyncio.to_thread(_spawn, self._nice, self._public_url)
        self._process = process
        self._answered = False
        self._known.clear()
        loop = asyncio.get_running_loop()
        pid = process.pid
        _, link = await loop.create_unix_connection(
            lambda: Link(lambda: processor_seconds(pid), lambda: self._lost(process), self._count), sock=connection
        )
        try:
            await link.ready(START_SECONDS)
        except TimeoutError:
            await link.close()
            _kill(process)
            raise
        return link

    def _lost(self, process: ForkServerProcess) -> None:
        """Let no work wait for the next one to start; but one that was of no use at all is not replaced unasked."""
        _kill(process)
        if not self._stopping and (self._answered or self.asked):
            self._replacing = asyncio.get_running_loop().create_task(self._replace())

    def _count(self, seconds: float) -> None:
        if math.isfinite(seconds):
            self.worked += max(0.0, seconds)

    async def _replace(self) -> None:
        if not self._stopping:
            with contextlib.suppress(NotifierError, OSError):  # whoever asks next is told
                await self.start()

    async def stop(self) -> None:
        """Hang up, on which the child ends by itself; kill it if it does not."""
        self._stopping = True
        if self._link is not None:
            with contextlib.suppress(NotifierError, OSError):  # it was lost before, or could not be started
                await (await self._link).close()
        if self._process is not None:
            await asyncio.to_thread(self._process.join, STOP_SECONDS)
            if self._process.is_alive():
                self._process.kill()
                await asyncio.to_thread(self._process.join, STOP_SECONDS)


def _versions(request: Render | Show | Compare) -> list[str | None]:
    """Those that the child will have used, in its order."""
    if isinstance(request, Compare):
        return [request.before, request.after]
    return [job.version for job in ([request.job] if isinstance(request, Show) else request.jobs)]


def _is_lost(link: asyncio.Task[Link]) -> bool:
    return link.cancelled() or link.exception() is not None or link.result().is_lost


def forkserver() -> ForkServerContext:
    """What forks children: one server process, whoever asks first, with the libraries of rendering loaded."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _spawn(nice: int, public_url: str | None) -> tuple[ForkServerProcess, socket.socket]:
    """Fork a child from a server process that has the libraries loaded: about 20 ms instead of 150."""
    context = forkserver()
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_ROOM)
    process = context.Process(target=serve, args=(theirs, nice, public_url), daemon=True, name="notifier-rendering")
    process.start()
    theirs.close()
    ours.setblocking(False)  # noqa: FBT003 - the library's own signature
    return process, ours


def _kill(process: ForkServerProcess) -> None:
    with contextlib.suppress(Exception):
        process.kill()


def processor_seconds(pid: int | None) -> float:
    """What a process has used so far; infinite where the system does not say."""
    if pid is None or not sys.platform.startswith("linux"):
        return math.inf
    try:
        return time.clock_gettime(~pid << 3 | 2)  # Linux: the CPU-time clock of another process
    except OSError:
        return math.inf
