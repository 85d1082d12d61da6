"""A real HTTP server with replies that a test scripts, also invalid ones."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    """A received request."""

    method: str
    path: str  # with its query
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def key(self) -> str | None:
        """The Idempotency-Key."""
        return self.headers.get("idempotency-key")


Step = Callable[["_Handler"], None]


class Server:
    """Replies to the n-th request with the n-th step of the script; the last step is repeated."""

    def __init__(self, *script: Step) -> None:
        self.script = list(script)
        self.requests: list[Request] = []
        self._noting = threading.Lock()
        self.stopping = threading.Event()
        self.connections: set[socket.socket] = set()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"scripted": self}))
        self._http.daemon_threads = False
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def next_step(self, request: Request) -> Step:
        """Record the request and return the step for it."""
        with self._noting:
            self.requests.append(request)
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._thread.join()
        for connection in tuple(self.connections):  # a failed test leaves some open, on which their threads wait
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    scripted: Server
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.scripted.connections.add(self.connection)

    def finish(self) -> None:
        self.scripted.connections.discard(self.connection)
        super().finish()

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.scripted.next_step(Request(self.command, self.path, headers, body))(self)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def answer(status: int, body: Any = None, **headers: str) -> Step:
    """A complete reply; a body that is not bytes is written as JSON."""

    def step(handler: _Handler) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in (
            {"Content-Type": "application/json", "Content-Length": str(len(content))} | headers
        ).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return step


def problem(status: int, code: str, **headers: str) -> Step:
    """A problem of the API."""
    body = {"type": f"/problems/{code}", "title": "T", "status": status, "code": code, "detail": "D", "errors": []}
    return answer(status, body | {"request_id": "9f2c"}, Content_Type="application/problem+json", **headers)


def drop(handler: _Handler) -> None:
    """Read the whole request, and close the connection without a reply."""
    handler.close_connection = True


def half(handler: _Handler) -> None:
    """Close the connection in the middle of the reply."""
    handler.wfile.write(b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"id"')
    handler.close_connection = True


def garbage(handler: _Handler) -> None:
    """Reply in another protocol."""
    handler.wfile.write(b"220 mail.example ESMTP\r\n")
    handler.close_connection = True


def silence(handler: _Handler) -> None:
    """Send nothing until the server stops."""
    handler.scripted.stopping.wait(30)
    handler.close_connection = True
