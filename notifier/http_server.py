"""An HTTP server that slow clients cannot block: it limits connections and the time for heads, bodies and replies.

uvicorn has no such limits. A request that misses a deadline gets 408. At the limit of connections, the one that has
waited longest without a complete request is closed; if all have a complete request, the new connection gets 503.
"""

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from notifier.errors import ConfigurationError
from notifier.http_refusal import BAD_REQUEST, BAD_REQUEST_DETAIL, REQUEST_TIMEOUT, TOO_MANY_CONNECTIONS, HttpRefusal
from notifier.ids import generate_request_id
from notifier.sse import OpenStreams

MAX_CONNECTIONS = 1_000  # open connections of a server; fewer if the process may not open so many files
MIN_CONNECTIONS = 16  # open connections of a server, even if the process may open fewer files
MAX_HEAD_SECONDS = 10.0  # from a request's first byte, or a connection's start, to the end of its header fields
MAX_BODY_SECONDS = 60.0  # from the end of the header fields to the end of the body
MAX_IDLE_SECONDS = 5  # after which a connection without a request is closed
MAX_UNREAD_SECONDS = 30.0
MIN_READ_BYTES = 64 * 1024
"""A connection is cut if its client reads less than this of its reply in `MAX_UNREAD_SECONDS`."""
MAX_BACKLOG = 256  # connections that wait in the system to be accepted; so many may exceed the limit for a moment
MAX_FILES = 65_536  # open files that the process asks the system to allow
RESERVED_FILES = 128  # open files that are needed for the database, the journal and child processes
STOP_SECONDS = 5


class PortBusyError(ConfigurationError):
    """Another program listens on the port."""

    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(f"port {port} is in use")


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """The limits of a server. Times are in seconds."""

    connections: int = MAX_CONNECTIONS
    head_seconds: float = MAX_HEAD_SECONDS
    body_seconds: float = MAX_BODY_SECONDS
    unread_seconds: float = MAX_UNREAD_SECONDS


def raise_file_limit() -> None:
    """Raise the limit of open files to what the system allows, at most `MAX_FILES`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def find_server_limits(reserved: int = 0, *, files: int | None = None) -> ServerLimits:
    """Find the limits of a server from the number of files that the process may open.

    `reserved`: files needed for connections to relays and webhooks. `files`: None means the system's limit.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if files is None else files
    if files == resource.RLIM_INFINITY:
        return ServerLimits()
    room = files - MAX_BACKLOG - RESERVED_FILES - reserved
    return ServerLimits(connections=max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, room)))


def open_listener(host: str, port: int) -> socket.socket:
    """Open a listening socket. Raises `PortBusyError`, or `ConfigurationError` if it can never listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm only if the socket names TCP. Otherwise each small reply waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(MAX_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortBusyError(port) from error
        raise ConfigurationError(f"cannot listen on {host}, port {port}: {_describe_bind_fault(error)}") from error
    listener.setblocking(False)  # noqa: FBT003 - the library's own signature
    return listener


def _describe_bind_fault(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "this user may not use the port: choose one above 1023"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "name an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all"
    return error.strerror or type(error).__name__


@contextlib.asynccontextmanager
async def serve_app(
    app: ASGIApp, listener: socket.socket, limits: ServerLimits, streams: OpenStreams | None = None
) -> AsyncIterator[None]:
    """Serve the application until the block ends. Streams are closed and requests answered first."""
    server = _QuietServer(build_server_config(app, limits, timeout_graceful_shutdown=STOP_SECONDS))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        if streams is not None:
            streams.close()
        server.should_exit = True
        await serving


def build_server_config(app: ASGIApp, limits: ServerLimits, **options: Any) -> uvicorn.Config:
    """Build the configuration of a server with these limits."""
    protocol: Any = partial(_LimitedProtocol, limits=limits, waiting={})
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        backlog=MAX_BACKLOG,
        timeout_keep_alive=MAX_IDLE_SECONDS,
        **options,
    )


class _QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers, because the command line decides when to stop, and in which order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Phase(Enum):
    """What a connection waits for."""

    HEAD = "head"
    BODY = "body"
    REPLY = "reply"


class _LimitedProtocol(H11Protocol):
    """One connection: uvicorn's protocol with deadlines."""

    def __init__(self, *args: Any, limits: ServerLimits, waiting: "dict[_LimitedProtocol, None]", **named: Any) -> None:
        super().__init__(*args, **named)
        self._limits = limits
        self._waiting = waiting  # the server's connections without a complete request, longest wait first
        self._phase = _Phase.REPLY
        self._deadline: asyncio.TimerHandle | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._unread = 0  # bytes that the client had not read at the last check

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection. At the limit, close another one for it or refuse it."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            if not self._waiting:
                self._refuse(TOO_MANY_CONNECTIONS, "all connections are in use")
                self._close_connection()
                return
            next(iter(self._waiting)).make_room()
        self._watch()
        self._set_deadline(self._limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._waiting.pop(self, None)
        for timer in (self._deadline, self._cut):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Receive bytes. The first byte of a request starts its deadline."""
        super().data_received(data)
        if self._phase is _Phase.HEAD and self._deadline is None:
            self._set_deadline(self._limits.head_seconds)

    def handle_events(self) -> None:
        """Handle the parser's events."""
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the client to read this reply."""
        super().on_response_complete()
        self._watch()
        if self.transport.is_closing():
            self._schedule_cut()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        super().timeout_keep_alive_handler()
        self._schedule_cut()

    def pause_writing(self) -> None:
        """Note that the client reads its reply more slowly than it is written."""
        super().pause_writing()
        self._schedule_cut()

    def resume_writing(self) -> None:
        """Note that the client has read what was written."""
        super().resume_writing()
        if self._cut is not None and not self.transport.is_closing():
            self._cut.cancel()
            self._cut = None

    @property
    def _is_half_sent(self) -> bool:
        """True if a request has begun, is not complete, and has no response yet."""
        if self._phase is _Phase.HEAD:
            return self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        return self._phase is _Phase.BODY and not self.cycle.response_started

    def _watch(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        is_idle = cycle is None or cycle.response_complete
        phase = _Phase.HEAD if cycle is None or is_idle else _Phase.BODY if cycle.more_body else _Phase.REPLY
        if phase is self._phase:
            return
        self._phase = phase
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if phase is _Phase.HEAD:
            self._waiting[self] = None
        else:
            self._waiting.pop(self, None)
        if phase is _Phase.BODY:
            self._set_deadline(self._limits.body_seconds)

    def _set_deadline(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self._end_late_request)

    def _end_late_request(self) -> None:
        part = "header fields" if self._phase is _Phase.HEAD else "body"
        if self._is_half_sent:
            detail = f"its {part} did not come in time"
            self._refuse(REQUEST_TIMEOUT, detail)
        self._close_connection()

    def make_room(self) -> None:
        """Close this connection to make room for another."""
        if self._is_half_sent:
            detail = "others waited, and this request was not complete"
            self._refuse(TOO_MANY_CONNECTIONS, detail)
        self._close_connection()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the library's own signature
        """Refuse bytes that are no HTTP request. During a response, only the connection can be closed."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self._refuse(BAD_REQUEST, BAD_REQUEST_DETAIL)
        self._close_connection()

    def _refuse(self, refusal: HttpRefusal, detail: str) -> None:
        """Send a refusal without the application, with the id that it gave to a request whose body is awaited."""
        if not self.transport.is_closing():
            state = self.scope["state"] if self._phase is _Phase.BODY else {}
            self.transport.write(refusal.encode(detail, state.get("request_id") or generate_request_id()))

    def _close_connection(self) -> None:
        """Close the connection, and tell the application that the client is gone."""
        self._waiting.pop(self, None)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()
        self._schedule_cut()

    def _schedule_cut(self) -> None:
        """Cut the connection later, unless the client reads the rest of its reply."""
        if self._cut is None:
            self._unread = self.transport.get_write_buffer_size()
            self._cut = self.loop.call_later(self._limits.unread_seconds, self._cut_if_unread)

    def _cut_if_unread(self) -> None:
        self._cut = None
        read = self._unread - self.transport.get_write_buffer_size()
        if read < min(MIN_READ_BYTES, self._unread) or not self._unread:
            self.transport.abort()
        else:
            self._schedule_cut()
