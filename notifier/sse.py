"""Server-sent events: streams that never fall silent for long, are limited in number, and end cleanly."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from notifier.errors import NotifierError

_KEEP_ALIVE_SECONDS = 15.0  # seconds; proxies cut a connection that says nothing for about a minute
MAX_STREAMS = 200
"""Event streams that an API process keeps open."""
MAX_STREAMS_PER_KEY = 20
"""Event streams that an API process keeps open for one key."""
RETRY_SECONDS = 10
"""When a reader who found no room for a stream asks again."""


class TooManyStreamsError(NotifierError):
    """There are as many event streams open as there may be: close one, or ask for the state itself."""

    retry_after = RETRY_SECONDS


class StreamEvent(NamedTuple):
    """One event: its data, and its name, if it is none of the usual ones."""

    data: str
    name: str = ""


def build_end_event(code: str, detail: str) -> StreamEvent:
    """The last event of a stream that ends before what it tells about has ended."""
    return StreamEvent(json.dumps({"code": code, "detail": detail}), "end")


class OpenStreams:
    """The open streams of a process: how many there are, whose they are, and whether they are to end."""

    def __init__(self, *, most: int = MAX_STREAMS, most_each: int = MAX_STREAMS_PER_KEY) -> None:
        self._most = most
        self._most_each = most_each
        self._open: Counter[Hashable] = Counter()
        self._closing = asyncio.Event()

    @property
    def open_count(self) -> int:
        """How many are open."""
        return self._open.total()

    def close(self) -> None:
        """Have all streams end, each with an event that says so."""
        self._closing.set()

    async def wait_for_close(self) -> None:
        """Return when the streams are to end."""
        await self._closing.wait()

    @contextmanager
    def reserve(self, owner: Hashable) -> Iterator[None]:
        """A place for one more stream of this owner. Raises `TooManyStreamsError`."""
        if self.open_count >= self._most or self._open[owner] >= self._most_each:
            raise TooManyStreamsError
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            self._open += Counter()  # drops owners without a stream


class EventStream(StreamingResponse):
    """A response that sends each event, or text as one, until the iterator ends or the reader goes away.

    Raises `TooManyStreamsError` when it is begun, before anything is sent.
    """

    def __init__(self, events: AsyncIterator[StreamEvent | str], streams: OpenStreams, owner: Hashable) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(_format_events(events, streams=streams), media_type="text/event-stream", headers=headers)
        self._streams = streams
        self._owner = owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; the place is free again whatever ends them."""
        with self._streams.reserve(self._owner):
            await super().__call__(scope, receive, send)


async def _format_events(
    events: AsyncIterator[StreamEvent | str],
    keep_alive: float = _KEEP_ALIVE_SECONDS,
    streams: OpenStreams | None = None,
) -> AsyncGenerator[str, None]:
    # A browser calls the stream open at its first byte, not at its headers.
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
        yield _format_event(build_end_event("shutting_down", "this server stops: connect again, to another one"))
    finally:
        closing.cancel()
        if pending:
            pending.cancel()


def _format_event(event: StreamEvent | str) -> str:
    named = StreamEvent(event) if isinstance(event, str) else event
    name = f"event: {named.name}\n" if named.name else ""
    return name + "".join(f"data: {line}\n" for line in named.data.split("\n")) + "\n"


async def _get_next_event(events: AsyncIterator[StreamEvent | str]) -> StreamEvent | str | None:
    return await anext(events, None)
