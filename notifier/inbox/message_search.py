"""Finding mail: MailHog's three kinds of search, and the one of the page.

Each looks at what a person reads; MailHog's kinds look at what came over the wire as well.
"""

from collections.abc import Callable
from enum import StrEnum

from notifier.inbox.readable_text import fold_text
from notifier.inbox.received_message import ReceivedMessage


class SearchKind(StrEnum):
    """What MailHog's search can look at."""

    FROM = "from"
    TO = "to"
    CONTAINING = "containing"


def find_messages(messages: list[ReceivedMessage], kind: SearchKind, query: str) -> list[ReceivedMessage]:
    """The messages that contain the query, whatever its case, in the order given."""
    raw, readable = _PLACES[kind]
    as_sent, as_read = query.lower(), fold_text(query)
    return [
        message for message in messages if as_sent in raw(message).lower() or (as_read and as_read in readable(message))
    ]


def find_readable_messages(messages: list[ReceivedMessage], query: str) -> list[ReceivedMessage]:
    """The messages in which a person would see every word of the query, in whatever place each."""
    words = fold_text(query).split()
    return [message for message in messages if all(word in message.searchable for word in words)]


def _raw_sender(message: ReceivedMessage) -> str:
    return f"{message.sender}\n{message.raw_header('From')}"


def _raw_recipients(message: ReceivedMessage) -> str:
    return "\n".join([*message.recipients, message.raw_header("To")])


def _raw(message: ReceivedMessage) -> str:
    return message.raw.decode("utf-8", "replace")


def _searchable(message: ReceivedMessage) -> str:
    return message.searchable


_Place = Callable[[ReceivedMessage], str]
_PLACES: dict[SearchKind, tuple[_Place, _Place]] = {
    SearchKind.FROM: (_raw_sender, lambda message: fold_text(message.header("From"))),
    SearchKind.TO: (_raw_recipients, lambda message: fold_text(message.header("To"))),
    SearchKind.CONTAINING: (_raw, _searchable),
}
"""Where each kind looks: in what came over the wire, and in what a person reads."""
