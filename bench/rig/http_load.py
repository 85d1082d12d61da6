"""A cheap load generator: raw keep-alive connections that send ready bytes."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

CONNECTIONS = 16
PATIENCE = 20.0  # seconds after the planned end until a run is abandoned
_MARK = "@@name@@"
_NAME = b"user%08d"
FIRST_RECIPIENT = "user00000000@example.com"
_ACCEPTED = b"HTTP/1.1 202"


class RefusedError(RuntimeError):
    """A reply other than 202: no measured request may fail."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A route and the body of its requests."""

    port: int
    path: str
    key: str
    template: str
    variables: Mapping[str, Any]
    items: int | None = None  # in each request, if it is a batch
    priority: str = "normal"

    def requests(self) -> Callable[[], bytes]:
        """Builds one request after the other, each with its own recipient and idempotency key."""
        before, after = (part.encode() for part in json.dumps(self._body()).split(_MARK))
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(before) + len(after) + len(_NAME % 0)}\r\n"
            f"Idempotency-Key: {uuid4().hex}-"
        ).encode()
        numbers = count()

        def request() -> bytes:
            number = _NAME % next(numbers)
            return b"".join((head, number, b"\r\n\r\n", before, number, after))

        return request

    def _body(self) -> dict[str, Any]:
        first = {"to": f"{_MARK}@example.com", "variables": self.variables}
        if self.items is None:
            return first | {"template": self.template, "priority": self.priority}
        others = [{"to": f"item{n:08}@example.com", "variables": self.variables} for n in range(1, self.items)]
        return {
            "defaults": {"template": self.template},
            "notifications": [first, *others],
            "on_error": "reject_all",
        }


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """The result of one run."""

    started: float  # `time.perf_counter` before the first request was written
    seconds: float
    cpu_seconds: float  # of the generator itself
    latencies: list[float]  # seconds, one per answered request

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return len(self.latencies) / self.seconds

    @property
    def ceiling(self) -> float:
        """Requests per second that the generator could make with a whole core."""
        return len(self.latencies) / self.cpu_seconds if self.cpu_seconds else float("inf")


async def run_load(
    target: Target, *, seconds: float, most: int, connections: int = CONNECTIONS, pause: float = 0.0
) -> LoadResult:
    """Send for a time or a number of requests. Raises `RefusedError` for a reply other than 202.

    Each connection sends its next request `pause` seconds after an answer (half of it to one and a half times). They
    do not begin at the same moment, because simultaneous first requests would be the slowest 1 % of a short run.
    """
    run = _Run(target, seconds=seconds, most=most, pause=pause)
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: _Connection(run), "127.0.0.1", target.port) for _ in range(connections)
    ]
    cpu, started = time.process_time(), time.perf_counter()
    try:
        async with asyncio.timeout(seconds + PATIENCE):
            run.deadline = started + seconds
            for _, connection in opened:
                connection.begin()
            await run.over
    finally:
        for transport, _ in opened:
            transport.close()
    return LoadResult(
        started=started,
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu,
        latencies=run.latencies,
    )


class _Run:
    """The state that the connections of a run share."""

    def __init__(self, target: Target, *, seconds: float, most: int, pause: float) -> None:
        self.pause = pause
        self.request = target.requests()
        self.deadline = time.perf_counter() + seconds
        self.left = most
        self.busy = 0
        self.latencies: list[float] = []
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        if not self.over.done():
            self.over.set_exception(error)


class _Connection(asyncio.Protocol):
    """One keep-alive connection: a request, its whole answer, the next request."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._answer = b""
        self._sent = 0.0
        self._open: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._open = transport

    def begin(self) -> None:
        """Send the first request, within the first pause."""
        self._run.busy += 1
        asyncio.get_running_loop().call_later(self._run.pause * random.random(), self._next)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not is_whole(self._answer):
            return
        answer, self._answer = self._answer, b""
        if not answer.startswith(_ACCEPTED):
            self._run.fail(RefusedError(answer.decode(errors="replace")))
            return
        self._run.latencies.append(time.perf_counter() - self._sent)
        if self._run.pause:
            pause = self._run.pause * random.uniform(0.5, 1.5)
            asyncio.get_running_loop().call_later(pause, self._next)
        else:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.fail(exc or ConnectionError("the server closed the connection"))

    def _next(self) -> None:
        run = self._run
        if run.left and time.perf_counter() < run.deadline:
            run.left -= 1
            assert self._open is not None
            self._sent = time.perf_counter()
            self._open.write(run.request())
            return
        run.busy -= 1
        if run.busy == 0 and not run.over.done():
            run.over.set_result(None)


def is_whole(answer: bytes) -> bool:
    """Return True if the head and a body of the announced length have arrived."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    at = answer[:end].lower().find(b"content-length:")
    length = int(answer[at + 15 : answer.find(b"\r\n", at)]) if at >= 0 else 0
    return len(answer) >= end + 4 + length
