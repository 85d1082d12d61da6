"""One mail as it came over the wire: the envelope, the bytes, and what can be read out of them.

Parsing is lazy, bounded and never raises, whatever the bytes are.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import Compat32, Policy, compat32
from email.policy import default as modern
from functools import cached_property
from itertools import islice
from typing import Any, TypeVar, cast

from notifier.inbox.header_decoding import decode_bytes, decode_header
from notifier.inbox.readable_text import MAX_PART_LENGTH, extract_visible_text, fold_text

T = TypeVar("T")
MAX_MIME_DEPTH = 50
"""Levels of MIME that are looked into; a mail nested deeper was made to exhaust the stack."""
MAX_MIME_PARTS = 1_000
"""Parts of one mail that are shown."""
MAX_DELIMITERS = 10_000
"""Lines of a mail that begin as a boundary does; with more of them it is shown as it came, undivided."""
MAX_HEADERS = 1_000
"""Header fields of one mail that are shown."""
MAX_HEADER_LENGTH = 16 * 1024
"""Characters of one header field that are looked at."""


class _Plain(Compat32):
    """Fields as they came, up to a length: what the library makes of them can take quadratic time."""

    def header_fetch_parse(self, name: str, value: Any) -> Any:
        del name
        return str(value)[:MAX_HEADER_LENGTH]


# The modern parser fails on some malformed parameters that the old one reads.
_POLICIES: "tuple[Policy[Any], ...]" = (modern, compat32)


@dataclass(frozen=True, kw_only=True)
class ReceivedAttachment:
    """A leaf of the MIME tree that is not the text or the HTML of the mail."""

    filename: str
    content_type: str
    content_id: str  # without angle brackets; empty when the part has none
    content: bytes  # transfer encoding removed


@dataclass(frozen=True, kw_only=True)
class ReceivedMessage:
    """A mail that arrived, with its envelope and its exact bytes."""

    id: str  # URL-safe
    received_at: datetime  # aware, UTC
    helo: str  # what the client called itself
    sender: str  # MAIL FROM; empty for the null reverse-path
    recipients: tuple[str, ...]  # RCPT TO, in order, with the blind copies
    raw: bytes  # dots unstuffed, closing CRLF kept

    @cached_property
    def email(self) -> EmailMessage:
        """The mail as the library reads it, for tests; for bytes that defeat it, a mail whose text is those bytes."""
        return _parse(self.raw, *_POLICIES)

    @cached_property
    def _mime(self) -> EmailMessage:
        """The parsed mail, with plain fields: what everything below is read from."""
        return _parse(self.raw, _Plain())

    @cached_property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Name and readable value of the header fields, in order."""
        return tuple((name, decode_header(value)) for name, value in self._raw_headers())

    @property
    def subject(self) -> str:
        """The decoded subject; empty without one."""
        return self.header("Subject")

    @property
    def text(self) -> str | None:
        """The plain text part, decoded, or None."""
        return self._content.text

    @property
    def html(self) -> str | None:
        """The HTML part, decoded, or None."""
        return self._content.html

    @property
    def attachments(self) -> tuple[ReceivedAttachment, ...]:
        """Everything else, inline images included, in the order of the MIME tree."""
        return self._content.attachments

    @cached_property
    def searchable(self) -> str:
        """All that a person can read of it, a line for each place, folded as a query is: found out once."""
        texts = [file.content[:MAX_PART_LENGTH] for file in self.attachments if file.content_type.startswith("text/")]
        places = [
            self.sender,
            *self.recipients,
            *(value for _, value in self.headers),
            *(text[:MAX_PART_LENGTH] for text in (self.text, self.html) if text is not None),
            extract_visible_text(self.html or ""),
            *(file.filename for file in self.attachments),
            *(decode_bytes(text, "utf-8") for text in texts),
        ]
        return "\n".join(map(fold_text, places))

    def header(self, name: str) -> str:
        """The readable value of the first field of that name; empty when there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def raw_header(self, name: str) -> str:
        """The first field body of that name as it came, for those who parse it; empty when there is none."""
        return next((value for key, value in self._raw_headers() if key.lower() == name.lower()), "")

    def _raw_headers(self) -> Iterator[tuple[str, str]]:
        for name, value in islice(self._mime.raw_items(), MAX_HEADERS):
            yield name, str(value)[:MAX_HEADER_LENGTH]

    @cached_property
    def _content(self) -> "_Content":
        return _read_content(self._mime)


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What the MIME tree holds, sorted by use."""

    text: str | None
    html: str | None
    attachments: tuple[ReceivedAttachment, ...]


def _parse(raw: bytes, *policies: "Policy[Any]") -> EmailMessage:
    if raw.count(b"\n--") <= MAX_DELIMITERS:
        for policy in policies:
            with contextlib.suppress(Exception):
                return message_from_bytes(raw, _class=EmailMessage, policy=policy)
    unreadable = EmailMessage()
    unreadable.set_content(decode_bytes(raw, "utf-8"))
    return unreadable


def _read_content(email: EmailMessage) -> _Content:
    bodies: dict[str, str] = {}
    attachments = []
    for part in islice(_leaves(email), MAX_MIME_PARTS):
        content_type = _tolerant(part.get_content_type, "application/octet-stream")
        if content_type in {"text/plain", "text/html"} and content_type not in bodies and not _is_attached(part):
            charset = _tolerant(part.get_content_charset, None) or "utf-8"
            bodies[content_type] = decode_bytes(_bytes_of(part), charset).replace("\r\n", "\n")
        else:
            attachments.append(_attachment(part, content_type))
    return _Content(text=bodies.get("text/plain"), html=bodies.get("text/html"), attachments=tuple(attachments))


def _leaves(part: Message, depth: int = 0) -> Iterator[Message]:
    """A forwarded mail (message/rfc822) is one leaf: its parts are not parts of this mail."""
    nested = _tolerant(part.get_content_maintype, "") == "multipart" and part.is_multipart()
    if nested and depth < MAX_MIME_DEPTH:
        for child in _children(part):
            yield from _leaves(child, depth + 1)
    else:
        yield part


def _children(part: Message) -> list[Message]:
    return cast("list[Message]", part.get_payload())


def _is_attached(part: Message) -> bool:
    return _tolerant(part.get_content_disposition, None) == "attachment" or bool(_tolerant(part.get_filename, None))


def _attachment(part: Message, content_type: str) -> ReceivedAttachment:
    return ReceivedAttachment(
        filename=decode_header(_tolerant(part.get_filename, None) or ""),
        content_type=content_type,
        content_id=_tolerant(lambda: str(part.get("Content-ID", "")), "").strip().strip("<>"),
        content=_bytes_of(part),
    )


def _bytes_of(part: Message) -> bytes:
    if part.is_multipart():
        return b"".join(_tolerant(child.as_bytes, b"") for child in _children(part))
    return _tolerant(lambda: cast("bytes", part.get_payload(decode=True)), b"")


def _tolerant(read: Callable[[], T], otherwise: T) -> T:
    # The standard parser raises IndexError, AttributeError and more on hostile headers; one bad field hides one value.
    try:
        return read()
    except Exception:  # noqa: BLE001
        return otherwise
