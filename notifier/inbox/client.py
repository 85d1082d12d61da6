"""A client for MailHog's API: for a real MailHog, or for an inbox in another process. Waiting does not poll."""

import ssl
import time
from datetime import datetime
from typing import Any, Self

import httpx2

from notifier.inbox.message_search import Expectation, MailNotReceived, SearchKind
from notifier.inbox.received_message import ReceivedMessage

_PAGE_SIZE = 250  # MailHog returns no more at once
_TIMEOUT = 10.0  # seconds


class MailHogClient:
    """Calls the MailHog at a URL; close it, or use it in a `with` block."""

    def __init__(self, url: str) -> None:
        # Loading the certificate authorities takes longer than all requests of a test, and http:// does not need them.
        trust: ssl.SSLContext | bool = url.startswith("https:") or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # A proxy from the environment must not come between a test and its inbox.
        self._http = httpx2.Client(base_url=url, timeout=_TIMEOUT, trust_env=False, verify=trust)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def messages(self) -> list[ReceivedMessage]:
        """List all mail in order of arrival."""
        return self._all("/api/v2/messages", {})

    def search(self, kind: SearchKind, query: str) -> list[ReceivedMessage]:
        """List the mail that contains the query in that place, in order of arrival."""
        return self._all("/api/v2/search", {"kind": kind.value, "query": query})

    def delete(self, message_id: str) -> None:
        """Delete one message."""
        self._http.delete(f"/api/v1/messages/{message_id}").raise_for_status()

    def clear(self) -> None:
        """Delete all messages."""
        self._http.delete("/api/v1/messages").raise_for_status()

    def wait_for(self, *, to: str | None = None, subject: str | None = None, timeout: float = 5.0) -> ReceivedMessage:
        """Return the first mail to that envelope recipient with that text in its subject, waiting until it arrives.

        Raises MailNotReceived (an AssertionError) after `timeout` seconds.
        """
        expected = Expectation(to=to, subject=subject)
        # The stream is opened before the messages are read, so that no mail is missed between the two.
        deadline = time.monotonic() + timeout
        try:
            with self._http.sse("/api/v1/events", timeout=timeout, max_event_size=None) as events:
                if first := self._first(expected):
                    return first
                for event in events:
                    message = parse_mailhog_message(event.json())
                    if expected.matches(message):
                        return message
                    if time.monotonic() > deadline:
                        break
        except httpx2.ReadTimeout:
            pass
        if first := self._first(expected):
            return first
        raise MailNotReceived(expected, timeout, self.messages())

    def _first(self, expected: Expectation) -> ReceivedMessage | None:
        return next((message for message in self.messages() if expected.matches(message)), None)

    def _all(self, path: str, parameters: dict[str, str]) -> list[ReceivedMessage]:
        items: list[Any] = []
        while True:
            response = self._http.get(path, params=parameters | {"start": str(len(items)), "limit": str(_PAGE_SIZE)})
            page = response.raise_for_status().json()
            items += page["items"]
            if not page["items"] or len(items) >= page["total"]:
                return [parse_mailhog_message(item) for item in reversed(items)]


def parse_mailhog_message(item: Any) -> ReceivedMessage:
    """Parse a message of MailHog's JSON. Bytes that are not UTF-8 are lost in that JSON; `/download` has them."""
    raw = item["Raw"]
    return ReceivedMessage(
        id=item["ID"],
        received_at=datetime.fromisoformat(item["Created"]),
        helo=raw["Helo"],
        sender=raw["From"],
        recipients=tuple(raw["To"]),
        raw=raw["Data"].encode() + b"\r\n",
    )
