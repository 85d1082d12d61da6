"""Server-sent events: a stream of data lines that never falls silent for long."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.responses import StreamingResponse

_KEEP_ALIVE = 15.0  # seconds; proxies cut a connection that says nothing for about a minute


def event_stream(events: AsyncIterator[str]) -> StreamingResponse:
    """A response that sends each text as one event, until the iterator ends or the reader goes away."""
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(events), media_type="text/event-stream", headers=headers)


async def _lines(events: AsyncIterator[str], keep_alive: float = _KEEP_ALIVE) -> AsyncGenerator[str, None]:
    # A browser calls the stream open at its first byte, not at its headers.
    yield ": open\n\n"
    pending: asyncio.Task[str | None] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(_next(events))
            done, _ = await asyncio.wait({pending}, timeout=keep_alive)
            if not done:
                yield ": still here\n\n"
                continue
            text = pending.result()
            if text is None:
                return
            pending = None
            yield "".join(f"data: {line}\n" for line in text.split("\n")) + "\n"
    finally:
        if pending:
            pending.cancel()


async def _next(events: AsyncIterator[str]) -> str | None:
    return await anext(events, None)
