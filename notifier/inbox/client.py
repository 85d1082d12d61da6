"""A client for MailHog's API: the same questions to a real MailHog, or to an inbox in another process.

Waiting listens to the server's events; it does not poll.
"""

import ssl
import time
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx2

from notifier.inbox.expectation import Expectation, MailNotReceived
from notifier.inbox.message_search import SearchKind
from notifier.inbox.received_message import ReceivedMessage

_WINDOW = 250  # the most that MailHog hands out at once
_TIMEOUT = 10.0  # seconds


class MailHogClient:
    """Speaks to the MailHog at that URL; close it, or use it in a `with` block."""

    def __init__(self, url: str) -> None:
        # Loading the authorities takes longer than all requests of a test, and http:// has no use for them.
        trust: ssl.SSLContext | bool = url.startswith("https:") or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # A proxy from the environment has no business between a test and its inbox.
        self._http = httpx2.Client(base_url=url, timeout=_TIMEOUT, trust_env=False, verify=trust)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def messages(self) -> list[ReceivedMessage]:
        """Everything that arrived, in that order."""
        return self._all("/api/v2/messages", {})

    def search(self, kind: SearchKind, query: str) -> list[ReceivedMessage]:
        """The messages that contain the query there, in order of arrival."""
        return self._all("/api/v2/search", {"kind": kind.value, "query": query})

    def delete(self, message_id: str) -> None:
        """Delete one message."""
        self._http.delete(f"/api/v1/messages/{message_id}").raise_for_status()

    def clear(self) -> None:
        """Delete everything."""
        self._http.delete("/api/v1/messages").raise_for_status()

    def wait_for(self, *, to: str | None = None, subject: str | None = None, timeout: float = 5.0) -> ReceivedMessage:
        """The first mail to that envelope recipient with that text in its subject, already here or still to come.

        Raises MailNotReceived (an AssertionError) after `timeout` seconds.
        """
        expected = Expectation(to=to, subject=subject)
        # The stream is opened before the look at what is there, so that no mail falls between the two.
        deadline = time.monotonic() + timeout
        try:
            with self._http.sse("/api/v1/events", timeout=timeout, max_event_size=None) as events:
                if found := self._first(expected):
                    return found
                for event in events:
                    message = parse_mailhog_message(event.json())
                    if expected.matches(message):
                        return message
                    if time.monotonic() > deadline:
                        break
        except httpx2.ReadTimeout:
            pass
        if found := self._first(expected):
            return found
        raise MailNotReceived(expected, timeout, self.messages())

    def _first(self, expected: Expectation) -> ReceivedMessage | None:
        return next((message for message in self.messages() if expected.matches(message)), None)

    def _all(self, path: str, parameters: dict[str, str]) -> list[ReceivedMessage]:
        items: list[Any] = []
        while True:
            answer = self._http.get(path, params=parameters | {"start": str(len(items)), "limit": str(_WINDOW)})
            window = answer.raise_for_status().json()
            items += window["items"]
            if not window["items"] or len(items) >= window["total"]:
                return [parse_mailhog_message(item) for item in reversed(items)]


def parse_mailhog_message(item: Any) -> ReceivedMessage:
    """A message from MailHog's JSON. Bytes that are not UTF-8 are lost in that JSON; `/download` has them."""
    raw = item["Raw"]
    return ReceivedMessage(
        id=item["ID"],
        received_at=datetime.fromisoformat(item["Created"]),
        helo=raw["Helo"],
        sender=raw["From"],
        recipients=tuple(raw["To"]),
        raw=raw["Data"].encode() + b"\r\n",
    )
