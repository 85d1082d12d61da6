"""The rendering pool: child processes under a wall limit, so that no template can stall or crash the sender.

A batch that overruns is rendered again one mail at a time, which finds the culprit; the child is killed and replaced.
"""

import asyncio
import contextlib
import math
import socket
import struct
import sys
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from typing import Self

import msgspec

from notifier.errors import NotifierError
from notifier.rendering.child import FRAME, HELLO, KNOWN_LIMIT, serve
from notifier.rendering.job import Batch, Check, Checked, Job, Render, Rendered, RenderFault, Request
from notifier.rendering.source import TemplateSource
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

START_SECONDS = 30.0
WALL_SECONDS = 1.0
STARVED_WALL_SECONDS = 8.0
GUILTY_CPU_SECONDS = 0.5
"""Of processor time; a child that had less was not slow, it was not let to run, and its mail is not to blame."""
CHECK_SECONDS = 2.0
LARGEST_BATCH = 25
"""Mails in one request: enough to pay for the trip, few enough to lose little when one of them overruns."""

OVERRAN = RenderFault(
    part="mail", line=None, message=f"rendering took longer than {WALL_SECONDS:g} s, or too much memory"
)
STARVED = RenderFault(part="mail", line=None, message="this host gave rendering no processor time")
"""No fault of the mail: to be rendered again later."""


class Loss(StrEnum):
    """How a child was lost."""

    OVERRAN = "overran"
    STARVED = "starved"
    DIED = "died"


class ChildLostError(NotifierError):
    """A rendering child overran its time or died."""

    def __init__(self, how: Loss) -> None:
        self.how = how
        super().__init__()


class RenderingPool:
    """Renders mails in child processes; use it as an async context manager."""

    def __init__(self, *, children: int = 1) -> None:
        self._free: asyncio.Queue[_ChildProcess] = asyncio.Queue()
        self._children: set[_ChildProcess] = set()
        self._count = children
        self._log = get_logger()

    async def __aenter__(self) -> Self:
        for _ in range(self._count):
            self._free.put_nowait(await self._start())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for child in self._children:
            await child.stop()
        self._children.clear()

    async def render(self, jobs: Sequence[Job], sources: Mapping[str, TemplateSource]) -> list[Rendered | RenderFault]:
        """Render the jobs, whose versions are all in `sources`; one result per job, in order."""
        results: list[Rendered | RenderFault] = []
        for start in range(0, len(jobs), LARGEST_BATCH):
            results += await self._render_batch(jobs[start : start + LARGEST_BATCH], sources)
        return results

    async def check(self, source: TemplateSource) -> Checked:
        """Compile the source and render its sample; an overrun is a fault like any other."""
        try:
            answer = await self._ask(Check(source=source), CHECK_SECONDS)
        except ChildLostError:
            return Checked(faults=[OVERRAN], warnings=[], subject_paths=[], previews={})
        if not isinstance(answer, Checked):
            raise ChildLostError(Loss.DIED)
        return answer

    async def _render_batch(
        self, jobs: Sequence[Job], sources: Mapping[str, TemplateSource], *, before: Loss | None = None
    ) -> list[Rendered | RenderFault]:
        started = time.perf_counter()
        wall = STARVED_WALL_SECONDS if before is Loss.STARVED else WALL_SECONDS
        try:
            answer = await self._ask(
                Render(jobs=list(jobs), sources={job.version: sources[job.version] for job in jobs}), wall
            )
        except ChildLostError as lost:
            if len(jobs) > 1:
                return [result for job in jobs for result in await self._render_batch([job], sources)]
            if lost.how is not Loss.OVERRAN and before is None:  # something else may be to blame, and not the mail
                return await self._render_batch(jobs, sources, before=lost.how)
            self._log.warning("render_overran", version=jobs[0].version, reason=lost.how)
            return [STARVED if lost.how is Loss.STARVED else OVERRAN]
        finally:
            metrics.RENDER_SECONDS.observe(time.perf_counter() - started)
        if not isinstance(answer, Batch) or len(answer.results) != len(jobs):
            raise ChildLostError(Loss.DIED)
        return answer.results

    async def _ask(self, request: Request, wall: float) -> Batch | Checked:
        """Send the request to a free child; whatever goes wrong, a working child is free again afterwards."""
        child = await self._free.get()
        try:
            return await child.ask(request, wall)
        except BaseException:
            self._children.discard(child)
            child.kill()
            child = await asyncio.shield(self._replace())
            raise
        finally:
            self._free.put_nowait(child)

    async def _replace(self) -> "_ChildProcess":
        metrics.RENDER_CHILDREN_KILLED.inc()
        return await self._start()

    async def _start(self) -> "_ChildProcess":
        child = _ChildProcess(*await asyncio.to_thread(_spawn))
        await child.open()
        self._children.add(child)
        return child


def _spawn() -> tuple[ForkServerProcess, socket.socket]:
    """Fork a child from a server process that has the libraries loaded: about 20 ms instead of 150."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["notifier.rendering.child"])
    ours, theirs = socket.socketpair()
    process = context.Process(target=serve, args=(theirs,), daemon=True, name="notifier-rendering")
    process.start()
    theirs.close()
    ours.setblocking(False)  # noqa: FBT003 - the library's own signature
    return process, ours


class _ChildProcess:
    """One child and the socket to it."""

    def __init__(self, process: ForkServerProcess, connection: socket.socket) -> None:
        self._process = process
        self._socket = connection
        self._known: OrderedDict[str, None] = OrderedDict()  # mirrors the child's cache of compiled versions
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Batch | Checked] = msgspec.msgpack.Decoder(Batch | Checked)

    async def open(self) -> None:
        """Connect, and wait until the child says that it is ready."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._socket)
        async with asyncio.timeout(START_SECONDS):
            await self._reader.readexactly(len(HELLO))

    async def ask(self, request: Request, wall: float) -> Batch | Checked:
        """One request, one answer, within `wall` seconds; raises `ChildLostError`."""
        if isinstance(request, Render):
            request = self._without_known(request)
        used = self._processor_seconds()
        try:
            async with asyncio.timeout(wall):
                payload = self._encoder.encode(request)
                self._writer.write(FRAME.pack(len(payload)) + payload)
                await self._writer.drain()
                (size,) = FRAME.unpack(await self._reader.readexactly(FRAME.size))
                return self._decoder.decode(await self._reader.readexactly(size))
        except (TimeoutError, OSError, EOFError, msgspec.MsgspecError, struct.error) as error:
            if not isinstance(error, TimeoutError):
                raise ChildLostError(Loss.DIED) from error
            starved = self._processor_seconds() - used < min(wall, GUILTY_CPU_SECONDS)
            raise ChildLostError(Loss.STARVED if starved else Loss.OVERRAN) from error

    def _processor_seconds(self) -> float:
        """What the child has used so far; infinite where the system does not say."""
        pid = self._process.pid
        if pid is None or not sys.platform.startswith("linux"):
            return math.inf
        try:
            return time.clock_gettime(~pid << 3 | 2)  # Linux: the CPU-time clock of another process
        except OSError:
            return math.inf

    def _without_known(self, request: Render) -> Render:
        """Leave out the sources that the child has, and forget in step with it what it forgets."""
        new = {version: source for version, source in request.sources.items() if version not in self._known}
        for job in request.jobs:
            self._known[job.version] = None
            self._known.move_to_end(job.version)
        while len(self._known) > KNOWN_LIMIT:
            self._known.popitem(last=False)
        return Render(jobs=request.jobs, sources=new)

    def kill(self) -> None:
        """End the child at once."""
        with contextlib.suppress(Exception):
            self._process.kill()
        self._writer.close()

    async def stop(self) -> None:
        """Close the socket, on which the child ends by itself; kill it if it does not."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await asyncio.to_thread(self._process.join, WALL_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            await asyncio.to_thread(self._process.join, WALL_SECONDS)
