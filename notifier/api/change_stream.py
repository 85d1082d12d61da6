"""Streams of the changes of one object, such as a batch or a job run, until it has ended."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Request

from notifier.api.dependencies import get_dependencies, recognise_owner
from notifier.auth.authenticated_key import AuthenticatedKey, InsufficientScopeError, KeyScope, UnauthenticatedError
from notifier.errors import DatabaseUnavailableError
from notifier.sse import EventStream, StreamEvent, build_end_event

MAX_WATCH_SECONDS = 600.0
"""Seconds of a stream; then the client must connect again."""
View = TypeVar("View")


@dataclass(frozen=True, kw_only=True)
class WatchedObject(Generic[View]):
    """What a stream shows."""

    first: View  # as it is now
    load: Callable[[View], Awaitable[View]]  # its state after the last one
    has_ended: Callable[[View], bool]
    encode: Callable[[View], str]  # the text of an event
    seconds: float  # between two looks; the key is checked as often


def document_stream(operation: str) -> dict[int | str, dict[str, Any]]:
    """Document the reply of a stream whose events are those of this operation."""
    text = f"Each change, as `{operation}` shows it. The event `end` has `code` and `detail`."
    return {200: {"content": {"text/event-stream": {}}, "description": text}}


def open_change_stream(request: Request, key: AuthenticatedKey, watched: WatchedObject[View]) -> EventStream:
    """Open the stream for a key that may read. Raises `TooManyStreamsError`."""
    return EventStream(_iterate_changes(request, watched), get_dependencies(request).streams, key.key_id)


async def _iterate_changes(request: Request, watched: WatchedObject[View]) -> AsyncIterator[StreamEvent | str]:
    """Yield each change as the text of an event, and the event of an early end."""
    clock = get_dependencies(request).clock
    until, view = clock.monotonic() + MAX_WATCH_SECONDS, watched.first
    yield watched.encode(view)
    while not watched.has_ended(view):
        await asyncio.sleep(watched.seconds)
        if clock.monotonic() >= until:
            yield build_end_event("time_limit", "a stream lasts ten minutes: connect again to see more")
            return
        try:
            await recognise_owner(request, KeyScope.READ)
            seen, view = view, await watched.load(view)
        except (UnauthenticatedError, InsufficientScopeError):
            yield build_end_event("unauthenticated", "the API key of this stream has ended")
            return
        except DatabaseUnavailableError:
            yield build_end_event("database_unavailable", "the database is out of reach: connect again in a moment")
            return
        if view != seen:
            yield watched.encode(view)
