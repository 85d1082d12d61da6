"""Finds mail: MailHog's three kinds of search, the search of the page, and the mail that a test waits for.

All searches use the text that a person reads; MailHog's kinds also use the raw bytes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from notifier.inbox.readable_text import fold_text
from notifier.inbox.received_message import ReceivedMessage

_MAX_LISTED = 20


class SearchKind(StrEnum):
    """The part of a mail that MailHog's search uses."""

    FROM = "from"
    TO = "to"
    CONTAINING = "containing"


def find_messages(messages: list[ReceivedMessage], kind: SearchKind, query: str) -> list[ReceivedMessage]:
    """Find the messages that contain the query in any case, in the order of `messages`."""
    get_raw, get_readable = _PLACES[kind]
    raw_query, query = query.lower(), fold_text(query)
    return [
        message
        for message in messages
        if raw_query in get_raw(message).lower() or (query and query in get_readable(message))
    ]


def find_readable_messages(messages: list[ReceivedMessage], query: str) -> list[ReceivedMessage]:
    """Find the messages in which a person can read every word of the query, each in any place."""
    words = fold_text(query).split()
    return [message for message in messages if all(word in message.searchable for word in words)]


def _get_raw_sender(message: ReceivedMessage) -> str:
    return f"{message.sender}\n{message.raw_header('From')}"


def _get_raw_recipients(message: ReceivedMessage) -> str:
    return "\n".join([*message.recipients, message.raw_header("To")])


def _get_raw(message: ReceivedMessage) -> str:
    return message.raw.decode("utf-8", "replace")


_Place = Callable[[ReceivedMessage], str]
_PLACES: dict[SearchKind, tuple[_Place, _Place]] = {
    SearchKind.FROM: (_get_raw_sender, lambda message: fold_text(message.header("From"))),
    SearchKind.TO: (_get_raw_recipients, lambda message: fold_text(message.header("To"))),
    SearchKind.CONTAINING: (_get_raw, lambda message: message.searchable),
}
"""What each kind searches: the raw text, and the text that a person reads."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """A mail to that envelope recipient (in any case) whose subject contains that text; None matches anything."""

    to: str | None = None
    subject: str | None = None

    def matches(self, message: ReceivedMessage) -> bool:
        """True if this is the mail."""
        recipients = {recipient.lower() for recipient in message.recipients}
        return (self.to is None or self.to.lower() in recipients) and (self.subject or "") in message.subject

    def __str__(self) -> str:
        to = f" to {self.to}" if self.to is not None else ""
        subject = f" with {self.subject!r} in its subject" if self.subject is not None else ""
        return f"mail{to}{subject}"


class MailNotReceived(AssertionError):  # noqa: N818 - the result of a test
    """The mail did not come in time."""

    def __init__(self, expected: Expectation, seconds: float, arrived: Iterable[ReceivedMessage]) -> None:
        self.expected = expected
        self.arrived = tuple(arrived)
        super().__init__(f"no {expected} arrived within {seconds:g} s; {_describe_arrived(self.arrived)}")


def _describe_arrived(arrived: tuple[ReceivedMessage, ...]) -> str:
    if not arrived:
        return "the inbox is empty"
    lines = [f"  to {', '.join(message.recipients)}: {message.subject!r}" for message in arrived[-_MAX_LISTED:]]
    return "\n".join([f"these {len(arrived)} did (the last {len(lines)}):", *lines])
