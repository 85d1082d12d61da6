"""Finding mail: MailHog's three kinds of search, and the one of the page.

MailHog's kinds look at what came over the wire; the page's looks at what a person reads.
"""

from collections.abc import Callable
from enum import StrEnum

from notifier.inbox.message import ReceivedMessage


class SearchKind(StrEnum):
    """What MailHog's search can look at."""

    FROM = "from"
    TO = "to"
    CONTAINING = "containing"


def find(messages: list[ReceivedMessage], kind: SearchKind, query: str) -> list[ReceivedMessage]:
    """The messages that contain the query, whatever its case, in the order given."""
    looks_at = _PLACES[kind]
    return [message for message in messages if _contains(looks_at(message), query)]


def find_readable(messages: list[ReceivedMessage], query: str) -> list[ReceivedMessage]:
    """The messages in which a person would see every word of the query: addresses, subject, text or HTML."""
    words = query.lower().split()
    return [message for message in messages if _reads(message, words)]


def _reads(message: ReceivedMessage, words: list[str]) -> bool:
    places = (
        message.sender,
        *message.recipients,
        *(message.header(name) for name in ("From", "To", "Cc", "Subject")),
        message.text or "",
        message.html or "",
        *(attachment.filename for attachment in message.attachments),
    )
    visible = "\n".join(places).lower()
    return all(word in visible for word in words)


def _contains(places: list[str], query: str) -> bool:
    return any(query.lower() in place.lower() for place in places)


def _senders(message: ReceivedMessage) -> list[str]:
    return [message.sender, message.raw_header("From")]


def _recipients(message: ReceivedMessage) -> list[str]:
    return [*message.recipients, message.raw_header("To")]


def _everything(message: ReceivedMessage) -> list[str]:
    return [message.raw.decode("utf-8", "replace")]


_PLACES: dict[SearchKind, Callable[[ReceivedMessage], list[str]]] = {
    SearchKind.FROM: _senders,
    SearchKind.TO: _recipients,
    SearchKind.CONTAINING: _everything,
}
