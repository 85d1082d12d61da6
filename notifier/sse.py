"""Server-sent events: streams with keep-alives, a maximum number, and a clean end."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from notifier.errors import NotifierError

_KEEP_ALIVE_SECONDS = 15.0  # proxies cut a connection after about a minute without data
MAX_STREAMS = 200
"""Open event streams of an API process."""
MAX_STREAMS_PER_KEY = 20
"""Open event streams of an API process for one key."""
RETRY_SECONDS = 10
"""Seconds after which a client that got no stream may try again."""


class TooManyStreamsError(NotifierError):
    """The maximum number of event streams is open: close one, or request the state instead."""

    retry_after = RETRY_SECONDS


class StreamEvent(NamedTuple):
    """One event: its data, and its name unless it is an ordinary one."""

    data: str
    name: str = ""


def build_end_event(code: str, detail: str) -> StreamEvent:
    """Build the last event of a stream that ends early."""
    return StreamEvent(json.dumps({"code": code, "detail": detail}), "end")


class OpenStreams:
    """The open streams of a process: counts them by owner, and closes them when the process stops."""

    def __init__(self, *, max_streams: int = MAX_STREAMS, max_per_owner: int = MAX_STREAMS_PER_KEY) -> None:
        self._max_streams = max_streams
        self._max_per_owner = max_per_owner
        self._open: Counter[Hashable] = Counter()
        self._closing = asyncio.Event()

    @property
    def open_count(self) -> int:
        """The number of open streams."""
        return self._open.total()

    def close(self) -> None:
        """End all streams, each with a last event that says why."""
        self._closing.set()

    async def wait_for_close(self) -> None:
        """Wait until the streams are to end."""
        await self._closing.wait()

    @contextmanager
    def reserve(self, owner: Hashable) -> Iterator[None]:
        """Count one more stream of this owner while the context is open. Raises `TooManyStreamsError`."""
        if self.open_count >= self._max_streams or self._open[owner] >= self._max_per_owner:
            raise TooManyStreamsError
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            self._open += Counter()  # drops owners without a stream


class EventStream(StreamingResponse):
    """A response that sends events (a string is the data of one) until the iterator ends or the client disconnects.

    Raises `TooManyStreamsError` before anything is sent.
    """

    def __init__(self, events: AsyncIterator[StreamEvent | str], streams: OpenStreams, owner: Hashable) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(_format_events(events, streams=streams), media_type="text/event-stream", headers=headers)
        self._streams = streams
        self._owner = owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; the stream counts as open until it ends."""
        with self._streams.reserve(self._owner):
            await super().__call__(scope, receive, send)


async def _format_events(
    events: AsyncIterator[StreamEvent | str],
    keep_alive: float = _KEEP_ALIVE_SECONDS,
    streams: OpenStreams | None = None,
) -> AsyncGenerator[str, None]:
    # A browser treats a stream as open at its first byte, not at its headers.
    yield ": open\n\n"
    pending: asyncio.Task[StreamEvent | str | None] | None = None
    closing = asyncio.ensure_future(streams.wait_for_close() if streams else asyncio.Event().wait())
    try:
        while not closing.done():
            pending = pending or asyncio.ensure_future(_get_next_event(events))
            await asyncio.wait({pending, closing}, timeout=keep_alive, return_when=asyncio.FIRST_COMPLETED)
            if pending.done():
                event = pending.result()
                if event is None:
                    return
                pending = None
                yield _format_event(event)
            elif not closing.done():
                yield ": still here\n\n"
        yield _format_event(build_end_event("shutting_down", "this server stops: connect again to another one"))
    finally:
        closing.cancel()
        if pending:
            pending.cancel()


def _format_event(event: StreamEvent | str) -> str:
    data, name = (event, "") if isinstance(event, str) else event
    head = f"event: {name}\n" if name else ""
    return head + "".join(f"data: {line}\n" for line in data.split("\n")) + "\n"


async def _get_next_event(events: AsyncIterator[StreamEvent | str]) -> StreamEvent | str | None:
    return await anext(events, None)
