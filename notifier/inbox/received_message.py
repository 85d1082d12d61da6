"""A received mail: its envelope, its bytes, and what can be read from them.

Parsing is lazy, has limits, and never raises, whatever the bytes are.
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

from notifier.inbox.readable_text import MAX_PART_LENGTH, decode_bytes, decode_header, extract_visible_text, fold_text

Value = TypeVar("Value")
MAX_MIME_DEPTH = 50
"""Levels of MIME that are parsed; a deeper mail was made to exhaust the stack."""
MAX_MIME_PARTS = 1_000
"""Parts of one mail that are shown."""
MAX_DELIMITERS = 10_000
"""Lines of a mail that begin like a boundary; with more of them the mail is not parsed and shown as text."""
MAX_HEADERS = 1_000
"""Header fields of one mail that are shown."""
MAX_HEADER_LENGTH = 16 * 1024
"""Characters of one header field that are parsed."""


class _RawHeaderPolicy(Compat32):
    """Returns header fields unparsed and cut: parsing them with the library can take quadratic time."""

    def header_fetch_parse_mail(self, name: str, value: Any) -> Any:
        del name
        return str(value)[:MAX_HEADER_LENGTH]


# The modern policy fails on some malformed parameters that the old one reads.
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
    """A received mail, with its envelope and its exact bytes."""

    id: str  # URL-safe
    received_at: datetime  # aware, UTC
    helo: str  # the name that the client gave
    sender: str  # MAIL FROM; empty for the null reverse-path
    recipients: tuple[str, ...]  # RCPT TO, in order, blind copies included
    raw: bytes  # dots unstuffed, closing CRLF kept

    @cached_property
    def email(self) -> EmailMessage:
        """The mail as the library parses it, for tests. Bytes that it cannot parse become the text of a new mail."""
        return _parse_mail(self.raw, *_POLICIES)

    @cached_property
    def _mime(self) -> EmailMessage:
        """The parsed mail with raw header fields, from which the properties below are read."""
        return _parse_mail(self.raw, _RawHeaderPolicy())

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
        """All other parts, inline images included, in the order of the MIME tree."""
        return self._content.attachments

    @cached_property
    def searchable(self) -> str:
        """Everything that a person can read in the mail, folded for the search."""
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
        """The first unparsed field body of that name; empty when there is none."""
        return next((value for key, value in self._raw_headers() if key.lower() == name.lower()), "")

    def _raw_headers(self) -> Iterator[tuple[str, str]]:
        for name, value in islice(self._mime.raw_items(), MAX_HEADERS):
            yield name, str(value)[:MAX_HEADER_LENGTH]

    @cached_property
    def _content(self) -> "_Content":
        return _read_content(self._mime)


@dataclass(frozen=True, kw_only=True)
class _Content:
    """The contents of the MIME tree by use."""

    text: str | None
    html: str | None
    attachments: tuple[ReceivedAttachment, ...]


def _parse_mail(raw: bytes, *policies: "Policy[Any]") -> EmailMessage:
    if raw.count(b"\n--") <= MAX_DELIMITERS:
        for policy in policies:
            with contextlib.suppress(Exception):
                return message_from_bytes(raw, _class=EmailMessage, policy=policy)
    unparsed = EmailMessage()
    unparsed.set_content(decode_bytes(raw, "utf-8"))
    return unparsed


def _read_content(email: EmailMessage) -> _Content:
    bodies: dict[str, str] = {}
    attachments = []
    for part in islice(_walk_leaves(email), MAX_MIME_PARTS):
        content_type = _read_or(part.get_content_type, "application/octet-stream")
        if content_type in {"text/plain", "text/html"} and content_type not in bodies and not _is_attached(part):
            charset = _read_or(part.get_content_charset, None) or "utf-8"
            bodies[content_type] = decode_bytes(_read_bytes(part), charset).replace("\r\n", "\n")
        else:
            attachments.append(_read_attachment(part, content_type))
    return _Content(text=bodies.get("text/plain"), html=bodies.get("text/html"), attachments=tuple(attachments))


def _walk_leaves(part: Message, depth: int = 0) -> Iterator[Message]:
    """The leaves of the MIME tree. A forwarded mail (message/rfc822) is one leaf."""
    is_nested = _read_or(part.get_content_maintype, "") == "multipart" and part.is_multipart()
    if is_nested and depth < MAX_MIME_DEPTH:
        for child in _list_children(part):
            yield from _walk_leaves(child, depth + 1)
    else:
        yield part


def _list_children(part: Message) -> list[Message]:
    return cast("list[Message]", part.get_payload())


def _is_attached(part: Message) -> bool:
    return _read_or(part.get_content_disposition, None) == "attachment" or bool(_read_or(part.get_filename, None))


def _read_attachment(part: Message, content_type: str) -> ReceivedAttachment:
    return ReceivedAttachment(
        filename=decode_header(_read_or(part.get_filename, None) or ""),
        content_type=content_type,
        content_id=_read_or(lambda: str(part.get("Content-ID", "")), "").strip().strip("<>"),
        content=_read_bytes(part),
    )


def _read_bytes(part: Message) -> bytes:
    if part.is_multipart():
        return b"".join(_read_or(child.as_bytes, b"") for child in _list_children(part))
    return _read_or(lambda: cast("bytes", part.get_payload(decode=True)), b"")


def _read_or(read: Callable[[], Value], default: Value) -> Value:
    # The standard parser raises IndexError, AttributeError and more on hostile headers; that must hide one value only.
    try:
        return read()
    except Exception:  # noqa: BLE001
        return default
