"""What a mail is made of, and the finished mail: plain data that parent and rendering child exchange in MessagePack."""

from datetime import datetime

import msgspec


class Mailbox(msgspec.Struct, frozen=True):
    """An address with an optional display name (RFC 5322 §3.4)."""

    address: str
    name: str | None = None


class MailHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The header of a mail but for its subject: fixed at submission, so that every attempt has the same bytes."""

    message_id: str  # with angle brackets
    date: datetime  # aware
    sender: Mailbox
    recipient: str  # of the To field; for a copy, that of the notification it is a copy of
    cc: list[str] = []  # addresses, as they stand in the Cc field
    reply_to: Mailbox | None = None
    extra: dict[str, str] = msgspec.field(default_factory=dict)


class LiteralContent(msgspec.Struct, frozen=True, kw_only=True):
    """Content as its caller wrote it: nothing in it is rendered, and no style is moved."""

    subject: str
    html: str | None = None  # None: the mail has a text part only
    text: str | None = None  # None: made from the HTML


class MailAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that goes with a mail, checked at submission."""

    filename: str
    content_type: str  # "type/subtype", perhaps with parameters
    content_id: str | None  # without angle brackets; None for one that the HTML does not show
    data: bytes


class MailParts(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail says, before it becomes MIME."""

    subject: str
    html: str | None
    text: str


class RenderedParts(MailParts, frozen=True, kw_only=True):
    """The three parts of a rendered template."""

    html: str


class RenderedMail(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A mail ready to send: canonical CRLF bytes and their SHA-256."""

    wire: bytes
    sha256: bytes


class MailWithGaps(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A mail whose attachments are still to be put in."""

    pieces: list[bytes | int]  # bytes as they stand; a number is the place of that attachment, in base64
    images: list[str] = []  # names in the version's assets; they are numbered behind the attachments
