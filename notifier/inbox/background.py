"""An inbox in its own thread, for programs and tests without an event loop. Waiting does not poll."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from notifier.inbox.access import Access
from notifier.inbox.expectation import Expectation, MailNotReceived
from notifier.inbox.inbox_server import Inbox
from notifier.inbox.received_message import ReceivedMessage

Result = TypeVar("Result")


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
    ) -> None:
        self._inbox = Inbox(host=host, smtp_port=smtp_port, http_port=http_port, access=access)
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="notifier-inbox", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop = self._started.result()
        self.smtp_host, self.smtp_port = self._inbox.host, self._inbox.smtp_port
        self.http_url, self.http_port = self._inbox.http_url, self._inbox.http_port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
