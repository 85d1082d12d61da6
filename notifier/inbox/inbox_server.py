"""The inbox: an SMTP and an HTTP server with one store, in the current event loop or in a thread of its own.

It installs no signal handler, and after `stop` there is no socket and no task.
"""

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Literal, Self, TypeVar

import uvicorn

from notifier import http_server
from notifier.inbox.message_search import Expectation, MailNotReceived
from notifier.inbox.message_store import MessageStore
from notifier.inbox.received_message import ReceivedMessage
from notifier.inbox.smtp_chaos import ChaosControl
from notifier.inbox.smtp_receiver import SmtpReceiver
from notifier.inbox.web_app import Access, create_app

Result = TypeVar("Result")
Purpose = Literal["smtp", "http"]
SMTP_PORT = 1025
HTTP_PORT = 8025


class InboxError(Exception):
    """The inbox cannot start."""


class InboxPortBusy(InboxError):  # noqa: N818 - the name is the reason
    """Another program listens on the port."""

    def __init__(self, port: int, purpose: Purpose) -> None:
        self.port = port
        self.purpose: Purpose = purpose
        super().__init__(f"port {port} for the inbox's {purpose.upper()} server is in use by another program")


class Inbox:
    """Use it as `async with Inbox() as inbox`, or call `start` and `stop`. An object can be started once."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        smtp_port: int = SMTP_PORT,
        http_port: int = HTTP_PORT,
        grace: float = 2.0,
        access: Access = Access(),  # noqa: B008 - frozen
        console_url: str = "",
    ) -> None:
        self.host = host
        self.smtp_port = smtp_port  # 0: `start` chooses a free one
        self.http_port = http_port
        self.store = MessageStore()
        self.chaos = ChaosControl()
        self.access = replace(access, bound_to=host)
        self.console_url = console_url  # of the console that knows what became of the mail; empty: there is none
        self._grace = grace  # seconds that `stop` waits for running requests
        self._receiver = SmtpReceiver(self.store, self.chaos)
        self._web: uvicorn.Server | None = None

    @property
    def smtp_address(self) -> str:
        """The host and port to send mail to."""
        return f"{_format_host(self.host)}:{self.smtp_port}"

    @property
    def http_url(self) -> str:
        """The URL of the page and of MailHog's API, without a slash at the end."""
        return f"http://{_format_host(self.host)}:{self.http_port}"

    async def start(self) -> None:
        """Listen on both ports. Raises InboxPortBusy, and then listens on neither."""
        smtp = _open_listener(self.host, self.smtp_port, "smtp")
        try:
            http = _open_listener(self.host, self.http_port, "http")
        except BaseException:
            smtp.close()
            raise
        self.smtp_port, self.http_port = smtp.getsockname()[1], http.getsockname()[1]
        await self._receiver.start(smtp)
        self._web = await _start_web(self, http)

    async def stop(self) -> None:
        """Close both servers and every connection, and wake all tasks that wait for mail or events."""
        self.store.close()
        await self._receiver.close()
        assert self._web is not None
        await _stop_web(self._web, self._grace)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()


class BackgroundInbox:
    """An inbox that runs during its `with` block, by default on free ports; safe to use from any thread."""

    smtp_host: str
    smtp_port: int
    http_port: int
    http_url: str

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        smtp_port: int = 0,
        http_port: int = 0,
        access: Access = Access(),  # noqa: B008 - frozen
        console_url: str = "",
    ) -> None:
        self._inbox = Inbox(host=host, smtp_port=smtp_port, http_port=http_port, access=access, console_url=console_url)
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="notifier-inbox", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop = self._started.result()
        self.smtp_host, self.smtp_port = self._inbox.host, self._inbox.smtp_port
        self.http_url, self.http_port = self._inbox.http_url, self._inbox.http_port
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def messages(self) -> list[ReceivedMessage]:
        """List all mail in order of arrival."""
        return self._call(self._inbox.store.list_oldest_first)

    def clear(self) -> None:
        """Delete all mail."""
        self._call(self._inbox.store.clear)

    def wait_for(self, *, to: str | None = None, subject: str | None = None, timeout: float = 5.0) -> ReceivedMessage:
        """Return the first mail to that envelope recipient with that text in its subject, waiting until it arrives.

        Raises MailNotReceived (an AssertionError) after `timeout` seconds. In an async test, await `wait_for_async`:
        this method would block the event loop that may have to send the mail.
        """
        return self._submit(self._wait(Expectation(to=to, subject=subject), timeout)).result()

    async def wait_for_async(
        self,
        *,
        to: str | None = None,
        subject: str | None = None,
        timeout: float = 5.0,  # noqa: ASYNC109
    ) -> ReceivedMessage:
        """Like `wait_for`, for async code."""
        return await asyncio.wrap_future(self._submit(self._wait(Expectation(to=to, subject=subject), timeout)))

    async def _wait(self, expected: Expectation, seconds: float) -> ReceivedMessage:
        store = self._inbox.store
        message = await store.wait_for(expected.matches, seconds)
        if message is None:
            raise MailNotReceived(expected, seconds, store.list_oldest_first())
        return message

    def _call(self, function: Callable[[], Result]) -> Result:
        async def call_in_loop() -> Result:
            return function()

        return self._submit(call_in_loop()).result()

    def _submit(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _serve(self) -> None:
        try:
            await self._inbox.start()
        except Exception as error:  # noqa: BLE001 - it is raised in the thread that started this one
            self._started.set_exception(error)
            return
        self._started.set_result(asyncio.get_running_loop())
        await self._stopped.wait()
        await self._inbox.stop()


async def _start_web(inbox: Inbox, listener: socket.socket) -> uvicorn.Server:
    """Start uvicorn without `serve`, which would install signal handlers."""
    config = http_server.build_server_config(
        create_app(
            inbox.store,
            inbox.chaos,
            smtp_address=inbox.smtp_address,
            access=inbox.access,
            console_url=inbox.console_url,
        ),
        http_server.find_server_limits(),
        server_header=False,
        date_header=False,  # needs uvicorn's main loop; the application sets it
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    return server


async def _stop_web(server: uvicorn.Server, grace: float) -> None:
    """Stop uvicorn by waiting for the running requests; its own shutdown polls ten times a second."""
    for listening in server.servers:
        listening.close()
    tasks = set(server.server_state.tasks)
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=grace)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    # An aborted transport closes its socket in the next iteration of the event loop.
    await asyncio.sleep(0)


def _open_listener(host: str, port: int, purpose: Purpose) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without an explicit protocol asyncio does not set TCP_NODELAY, and replies wait 40 ms for a delayed ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise InboxPortBusy(port, purpose) from error
        raise
    return listener


def _format_host(host: str) -> str:
    """The host as part of a URL; a wildcard address becomes a loopback one, because nobody can connect to it."""
    reachable = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{reachable}]" if ":" in reachable else reachable
