"""The inbox as a whole: it starts on free or configured ports, names a busy one, and stops without leftovers."""

import asyncio
import signal
import smtplib
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack

import httpx2
import pytest

from notifier.inbox.inbox_server import Inbox, InboxPortBusy
from notifier.inbox.web_app import MAX_INBOX_STREAMS, Access


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def send_to(inbox: Inbox) -> None:
    """Send a mail from a thread."""
    with smtplib.SMTP(inbox.host, inbox.smtp_port, local_hostname="tests.example") as client:
        client.sendmail("s@x.example", ["r@x.example"], b"Subject: x\r\n\r\nx\r\n")


async def test_it_serves_in_the_loop_that_is_there_and_then_is_gone() -> None:
    """Stopping leaves no task, socket or signal handler."""
    before = asyncio.all_tasks()
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    async with Inbox(smtp_port=0, http_port=0) as inbox:
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
        await asyncio.to_thread(send_to, inbox)
        async with httpx2.AsyncClient(base_url=inbox.http_url, trust_env=False) as client:
            assert (await client.get("/api/v2/messages")).json()["total"] == 1

    assert asyncio.all_tasks() == before
    assert is_free(inbox.smtp_port)
    assert is_free(inbox.http_port)


async def test_it_stops_under_clients_that_stay_connected() -> None:
    """Stopping ends an open event stream, an idle keep-alive connection and an SMTP dialogue."""
    before = asyncio.all_tasks()
    inbox = Inbox(smtp_port=0, http_port=0)
    await inbox.start()
    smtp, dialogue = await asyncio.open_connection(inbox.host, inbox.smtp_port)
    await smtp.readline()
    web, idle = await asyncio.open_connection(inbox.host, inbox.http_port)
    idle.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await web.readuntil(b"</html>")
    async with (
        httpx2.AsyncClient(base_url=inbox.http_url, trust_env=False) as client,
        client.stream("GET", "/api/v1/events") as events,
    ):
        lines = events.aiter_lines()
        assert await anext(lines) == ": open"

        await inbox.stop()

        assert asyncio.all_tasks() == before
        assert [line async for line in lines] == [""]
    async with asyncio.timeout(50):
        assert (await smtp.read(), (await web.read()).strip()) == (b"", b"")
    for connection in (dialogue, idle):
        connection.close()
        await connection.wait_closed()


async def test_replies_are_sent_at_once() -> None:
    """Nagle's algorithm is off on both sides: with it each reply of a dialogue may wait 40 ms."""
    async with Inbox(smtp_port=0, http_port=0) as inbox:
        _, smtp = await asyncio.open_connection(inbox.host, inbox.smtp_port)
        reader, web = await asyncio.open_connection(inbox.host, inbox.http_port)
        web.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"</html>")
        assert inbox._web is not None

        connections = [*inbox._receiver._connections, *inbox._web.server_state.connections]
        sockets = [connection.transport.get_extra_info("socket") for connection in connections if connection.transport]

        assert [bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) for sock in sockets] == [True, True]
        for connection in (smtp, web):
            connection.close()
            await connection.wait_closed()


async def test_a_request_that_does_not_end_is_cut_off() -> None:
    """Stopping waits for replies on their way, but not for a release to a server that never greets."""
    release_began, stopped = asyncio.Event(), asyncio.Event()

    async def never_greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        release_began.set()
        await stopped.wait()
        writer.close()

    silent = await asyncio.start_server(never_greet, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    inbox = Inbox(smtp_port=0, http_port=0, grace=0.05, access=Access(release_ports=[port]))
    await inbox.start()
    await asyncio.to_thread(send_to, inbox)
    (message,) = inbox.store.list_oldest_first()
    target = {"email": "a@x.example", "host": "127.0.0.1", "port": port}
    async with httpx2.AsyncClient(base_url=inbox.http_url, trust_env=False) as client:
        request = asyncio.create_task(client.post(f"/api/v1/messages/{message.id}/release", json=target))
        await release_began.wait()

        await inbox.stop()

        assert (await request).status_code == 500
    stopped.set()
    silent.close()


async def test_a_busy_smtp_port_is_named(taken_port: int) -> None:
    """The error of a busy SMTP port has the port and the flag."""
    with pytest.raises(InboxPortBusy, match=f"port {taken_port} for the inbox's SMTP server") as busy:
        await Inbox(smtp_port=taken_port, http_port=0).start()

    assert (busy.value.port, busy.value.purpose) == (taken_port, "smtp")


async def test_a_busy_http_port_is_named_and_the_smtp_port_is_given_back(taken_port: int, unused_port: int) -> None:
    """After a failed start nothing listens, not even the SMTP port."""
    with pytest.raises(InboxPortBusy) as busy:
        await Inbox(smtp_port=unused_port, http_port=taken_port).start()

    assert (busy.value.port, busy.value.purpose) == (taken_port, "http")
    assert is_free(unused_port)


async def test_another_failure_to_listen_stays_what_it_is() -> None:
    """Listening on a foreign address is reported as such, and not as a busy port."""
    with pytest.raises(OSError, match="assign"):
        await Inbox(host="192.0.2.1", smtp_port=0, http_port=0).start()


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8025"), ("::1", "http://[::1]:8025"), ("0.0.0.0", "http://127.0.0.1:8025")],
)
def test_its_addresses_can_be_connected_to(host: str, url: str) -> None:
    """The server's addresses have brackets around IPv6 and no wildcard."""
    inbox = Inbox(host=host)

    assert inbox.http_url == url
    assert inbox.smtp_address == url.removeprefix("http://").replace("8025", "1025")


async def test_a_stream_too_many_is_refused() -> None:
    """The limit of streams is shared by pages and MailHog's clients; a closed stream makes room."""
    async with Inbox(smtp_port=0, http_port=0) as inbox, AsyncExitStack() as stack:
        streams = []
        for number in range(MAX_INBOX_STREAMS):
            path = ("/inbox/changes", "/api/v1/events")[number % 2]
            streams.append(await _get(inbox, path, stack))
            await streams[-1].readuntil(b": open")
        refused = await _get(inbox, "/inbox/changes", stack)
        assert (await refused.readline()).startswith(b"HTTP/1.1 429")
        assert b"retry-after: " in (await refused.readuntil(b"\r\n\r\n")).lower()
        assert (await (await _get(inbox, "/api/v2/messages", stack)).readline()).startswith(b"HTTP/1.1 200")


async def _get(inbox: Inbox, path: str, stack: AsyncExitStack) -> asyncio.StreamReader:
    """Send a request on a new connection, which lasts as long as the stack, and return the reply."""
    reader, writer = await asyncio.open_connection(inbox.host, inbox.http_port)
    stack.callback(writer.close)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{inbox.http_port}\r\n\r\n".encode())
    return reader
