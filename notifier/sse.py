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

_KEEP_ALIVE = 15.0  # seconds; proxies cut a connection that says nothing for about a minute
MAX_STREAMS = 200
"""Event streams that an API process keeps open."""
MAX_STREAMS_PER_KEY = 20
"""Event streams that an API process keeps open for one key."""
RETRY_SECONDS = 10
"""When a reader who found no room for a stream asks again."""


class TooManyStreamsError(NotifierError):
    """There are as many event streams open as there may be: close one, or ask for the state itself."""

    retry_after = RETRY_SECONDS


class Event(NamedTuple):
    """One event: its data, and its name, if it is none of the usual ones."""

    data: str
    name: str = ""


def end_event(code: str, detail: str) -> Event:
    """The last event of a stream that ends before what it tells about has ended."""
    return Event(json.dumps({"code": code, "detail": detail}), "end")


class Streams:
    """The open streams of a process: how many there are, whose they are, and whether they are to end."""

    def __init__(self, *, most: int = MAX_STREAMS, most_each: int = MAX_STREAMS_PER_KEY) -> None:
        self._most = most
        self._most_each = most_each
        self._open: Counter[Hashable] = Counter()
        self._closing = asyncio.Event()

    @property
    def number(self) -> int:
        """How many are open."""
        return self._open.total()

    def close(self) -> None:
        """Have all streams end, each with an event that says so."""
        self._closing.set()

    async def wait_for_close(self) -> None:
        """Return when the streams are to end."""
        await self._closing.wait()

    @contextmanager
    def room(self, owner: Hashable) -> Iterator[None]:
        """A place for one more stream of this owner. Raises `TooManyStreamsError`."""
        if self.number >= self._most or self._open[owner] >= self._most_each:
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

    def __init__(self, events: AsyncIterator[Event | str], streams: Streams, owner: Hashable) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(_lines(events, streams=streams), media_type="text/event-stream", headers=headers)
        self._streams = streams
        self._owner = owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; the place is free again whatever ends them."""
        with self._streams.room(self._owner):
            await super().__call__(scope, receive, send)


async def _lines(
    events: AsyncIterator[Event | str], keep_alive: float = _KEEP_ALIVE, streams: Streams | None = None
) -> AsyncGenerator[str, None]:
    # A browser calls the stream open at its first byte, not at its headers.
    yield ": open\n\n"
    pending: asyncio.Task[Event | str | None] | None = None
    closing = asyncio.ensure_future(streams.wait_for_close() if streams else asyncio.Event().wait())
    try:
        while not closing.done():
            pending = pending or asyncio.ensure_future(_next(events))
            await asyncio.wait({pending, closing}, timeout=keep_alive, return_when=asyncio.FIRST_COMPLETED)
            if pending.done():
                event = pending.result()
                if event is None:
                    return
                pending = None
                yield _write(event)
            elif not closing.done():
                yield ": still here\n\n"
        yield _write(end_event("shutting_down", "this server stops: connect again, to another one"))
    finally:
        closing.cancel()
        if pending:
            pending.cancel()


def _write(event: Event | str) -> str:
    named = Event(event) if isinstance(event, str) else event
    name = f"event: {named.name}\n" if named.name else ""
    return name + "".join(f"data: {line}\n" for line in named.data.split("\n")) + "\n"


async def _next(events: AsyncIterator[Event | str]) -> Event | str | None:
    return await anext(events, None)
