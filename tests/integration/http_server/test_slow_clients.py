"""Slow or many clients: each incomplete request is ended, and however many there are, complete ones are served."""

import asyncio
import json
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from notifier import http_server
from notifier.api.errors import problem_catalogue
from notifier.http_server import MAX_BACKLOG, MAX_CONNECTIONS, MIN_CONNECTIONS, RESERVED_FILES, ServerLimits
from notifier.telemetry.request_observer import RequestObserver

PATIENT = ServerLimits(head_seconds=60, body_seconds=60, unread_seconds=60)
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "
HALF_BODY = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Application:
    """An application that answers at once, after its body, when the test says so, or without an end."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Message] = asyncio.Queue()
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.may_answer = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path = scope["path"]
        self.begun.put_nowait(path)
        try:
            while path == "/read":
                self.heard.put_nowait(message := await receive())
                if message["type"] == "http.disconnect" or not message["more_body"]:
                    break
            if path == "/wait":
                await self.may_answer.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
        finally:
            self.ended.put_nowait(path)


class Endless:
    """Send bytes until the client is gone."""

    def __init__(self) -> None:
        self.is_over = asyncio.Event()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(self._gone(receive))
        while not gone.done():
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
            await asyncio.sleep(0)
        self.is_over.set()

    async def _gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


@asynccontextmanager
async def _served(app: Any, limits: ServerLimits) -> AsyncIterator[int]:
    """The port of a server with these limits."""
    with closing(http_server.open_listener("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with asyncio.timeout(60), http_server.serve_app(app, listener, limits):
            yield port


async def _send(port: int, data: bytes) -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    return reader, writer


async def _rest(connection: Connection) -> bytes:
    """Read until the connection ends or is reset."""
    try:
        return await connection[0].read()
    except ConnectionError:
        return b""
    finally:
        connection[1].close()


async def _drip(port: int, data: bytes) -> bytes:
    """Send data, and then one byte after another until the server ends the connection; return all it sent.

    On a plain socket, because a stream of asyncio drops what has arrived when a late write fails.
    """
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(0)
        client.send(data)
        answer = asyncio.create_task(_receive_all(client))
        while not answer.done():
            with suppress(OSError):
                client.send(b"x")
            await asyncio.wait({answer}, timeout=0.02)
        return await answer


async def _receive_all(client: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionError):
        while data := await asyncio.get_running_loop().sock_recv(client, 65536):
            received += data
    return received


async def _reply(connection: Connection) -> bytes:
    """Read a response whose body has two bytes."""
    return await connection[0].readuntil(b"ok")


def _problem(answer: bytes) -> tuple[int, str]:
    """Read a problem document of the catalogue and the end of the connection; return status and code."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    problem = json.loads(body)
    assert f"x-request-id: {problem['request_id']}".encode() in head.lower()
    assert len(problem["request_id"]) > 2
    assert problem_catalogue.PROBLEM_ENTRIES[problem["code"]].status == problem["status"] == int(head.split()[1])
    return problem["status"], problem["code"]


@pytest.mark.parametrize("sent", [HALF_HEAD, b"G", b"POST / HTTP/1.1\r\n"])
async def test_a_head_that_does_not_come_is_408(sent: bytes) -> None:
    """However little of a request has arrived, the client gets 408, and the connection ends."""
    async with _served(Application(), ServerLimits(head_seconds=0.1)) as port:
        assert _problem(await _rest(await _send(port, sent))) == (408, "request_timeout")


async def test_a_connection_that_says_nothing_is_closed() -> None:
    """A connection without a single byte is closed without a response."""
    async with _served(Application(), ServerLimits(head_seconds=0.1)) as port:
        assert await _rest(await _send(port, b"")) == b""


async def test_drops_do_not_keep_a_head_alive() -> None:
    """The deadline is for the whole head: more bytes do not extend it."""
    async with _served(Application(), ServerLimits(head_seconds=0.3)) as port:
        assert _problem(await _drip(port, HALF_HEAD)) == (408, "request_timeout")


async def test_the_second_head_of_a_connection_has_its_time_too() -> None:
    """The deadline also holds for a second request on the same connection."""
    async with _served(Application(), ServerLimits(head_seconds=0.5)) as port:
        connection = await _send(port, WHOLE)
        assert (await _reply(connection)).startswith(b"HTTP/1.1 200")
        connection[1].write(HALF_HEAD)
        assert _problem(await _rest(connection)) == (408, "request_timeout")


async def test_a_body_that_does_not_come_is_408() -> None:
    """The application is told that the client is gone, and ends."""
    app = Application()
    async with _served(app, ServerLimits(body_seconds=0.2)) as port:
        assert _problem(await _rest(await _send(port, HALF_BODY))) == (408, "request_timeout")
        assert await app.ended.get() == "/read"
        heard = [app.heard.get_nowait() for _ in range(app.heard.qsize())]
        assert heard[-1]["type"] == "http.disconnect"


async def test_a_late_body_is_refused_with_the_id_of_its_request() -> None:
    """The application has begun the request, so its log lines and the 408 name the same id."""
    app = RequestObserver(Application())
    async with _served(app, ServerLimits(body_seconds=0.2)) as port:
        answer = await _rest(await _send(port, HALF_BODY.replace(b"Host: x", b"Host: x\r\nX-Request-Id: upload-7")))
    assert b"X-Request-Id: upload-7\r\n" in answer
    assert _problem(answer) == (408, "request_timeout")


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000,
        b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["no request", "large header fields", "no chunk"],
)
async def test_what_is_no_request_is_400(sent: bytes) -> None:
    """The client gets a problem document, and the connection ends."""
    async with _served(Application(), PATIENT) as port:
        assert _problem(await _rest(await _send(port, sent))) == (400, "http_error")


async def test_a_body_behind_its_answer_ends_without_another() -> None:
    """A client that was answered before its body arrived gets no second response, and the connection ends."""
    async with _served(Application(), ServerLimits(head_seconds=0.2)) as port:
        answer = await _drip(port, HALF_BODY.replace(b"/read", b"/").replace(b"10", b"1000000"))
        assert answer.count(b"HTTP/1.1") == 1


async def test_a_reply_that_nobody_reads_has_an_end() -> None:
    """The connection is cut, and the application ends."""
    app = Endless()
    async with _served(app, ServerLimits(unread_seconds=0.2)) as port:
        reader, writer = await _send(port, WHOLE)
        await app.is_over.wait()
        writer.close()
        assert reader is not None


async def test_half_requests_make_room_for_a_whole_one() -> None:
    """With three times as many incomplete requests as connections, the oldest are closed and new ones are served."""
    app = Application()
    limits = ServerLimits(connections=8, head_seconds=60)
    async with _served(app, limits) as port:
        idle = await _send(port, WHOLE)
        await _reply(idle)
        halves = [await _send(port, HALF_HEAD) for _ in range(24)]
        for _ in range(3):
            served = await _send(port, WHOLE)
            assert (await _reply(served)).startswith(b"HTTP/1.1 200")
            served[1].close()
        gone = await asyncio.gather(*(_rest(half) for half in halves[:16]))
        assert await _rest(idle) == b""  # no answer on a connection without a request: it would be taken for the next
        assert {_problem(answer) for answer in gone if answer} <= {(503, "too_many_connections")}
        for _, writer in halves:
            writer.close()


async def test_a_connection_too_many_is_503_while_all_work() -> None:
    """Complete requests are not closed for another one; when they are answered there is space again."""
    app = Application()
    async with _served(app, ServerLimits(connections=3)) as port:
        working = [await _send(port, WHOLE.replace(b"/", b"/wait", 1)) for _ in range(3)]
        for _ in working:
            await app.begun.get()
        assert _problem(await _rest(await _send(port, b""))) == (503, "too_many_connections")
        app.may_answer.set()
        for connection in working:
            assert (await _reply(connection)).startswith(b"HTTP/1.1 200")
        for _, writer in working:
            writer.close()
        working.append(await _send(port, WHOLE))
        assert (await _reply(working[-1])).startswith(b"HTTP/1.1 200")
        working[-1][1].close()


async def test_requests_over_one_connection_are_answered_in_their_order() -> None:
    """Requests that are pipelined, in one packet or byte by byte are served as usual."""
    async with _served(Application(), PATIENT) as port:
        connection = await _send(port, WHOLE * 3)
        for _ in range(3):
            await _reply(connection)
        for number in range(len(WHOLE)):
            connection[1].write(WHOLE[number : number + 1])
            await asyncio.sleep(0)
        assert (await _reply(connection)).startswith(b"HTTP/1.1 200")
        connection[1].close()


@pytest.mark.parametrize(
    ("files", "reserved", "connections"),
    [
        (1_000_000, 60, MAX_CONNECTIONS),
        (1024, 60, 1024 - MAX_BACKLOG - RESERVED_FILES - 60),
        (256, 500, MIN_CONNECTIONS),
        (resource.RLIM_INFINITY, 500, MAX_CONNECTIONS),
    ],
)
def test_files_are_left_for_the_sender(files: int, reserved: int, connections: int) -> None:
    """A server leaves enough open files for the database, relays and webhooks."""
    assert http_server.find_server_limits(reserved, files=files).connections == connections
