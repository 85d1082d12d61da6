"""The searches for mail: MailHog's three kinds, and the one of the page.

All search the text that a person reads; MailHog's kinds also search the raw bytes.
"""

from collections.abc import Callable
from enum import StrEnum

from notifier.inbox.readable_text import fold_text
from notifier.inbox.received_message import ReceivedMessage


class SearchKind(StrEnum):
    """What MailHog's search looks at."""

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
