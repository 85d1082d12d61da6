"""What parent and child say to each other: plain data in MessagePack, never pickles, because a child is not trusted."""

from datetime import datetime

import msgspec

from notifier.rendering.source import TemplateSource


class Mailbox(msgspec.Struct, frozen=True):
    """An address with an optional display name (RFC 5322 §3.4)."""

    address: str
    name: str | None = None


class MailHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The envelope side of a mail's header: fixed at submit, so that every attempt has the same bytes."""

    message_id: str  # with angle brackets
    date: datetime  # aware
    sender: Mailbox
    recipient: str  # of the To field; for a copy, that of the notification it is a copy of
    cc: list[str] = []  # addresses, as they stand in the Cc field
    reply_to: Mailbox | None = None
    extra: dict[str, str] = msgspec.field(default_factory=dict)


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail says, literally: nothing in it is rendered, and no style is moved."""

    subject: str
    html: str | None = None  # None: the mail has a text part only
    text: str | None = None  # None: made from the HTML


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that goes with a mail, checked at submit."""

    filename: str
    content_type: str  # "type/subtype", perhaps with parameters
    content_id: str | None  # without angle brackets; None for one that the HTML does not show
    data: bytes


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One mail to render."""

    version: str | None  # key of a source that the child has been given; None: `content` is the mail's
    locale: str | None
    variables: str  # the JSON text of an object as the database has it; only the child reads it
    header: MailHeader
    content: str | None = None  # the JSON text of a `Content`; only the child reads it
    attachments: list[Attachment] = []  # the child is told everything but their bytes


class Render(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A batch of mails, with the sources that this child has not seen yet."""

    jobs: list[Job]
    sources: dict[str, TemplateSource]


class Show(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One mail to render and to show, with its source if this child has not seen it yet."""

    job: Job
    sources: dict[str, TemplateSource]


class Check(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A source to compile and render with its sample, in every locale."""

    source: TemplateSource


Request = Render | Show | Check


class Rendered(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A mail ready to send: canonical CRLF bytes and their SHA-256."""

    wire: bytes
    sha256: bytes


class Gapped(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A mail whose attachments are still to be put in."""

    pieces: list[bytes | int]  # octets as they stand; a number is the place of that attachment, in base64


class RenderFault(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why a mail could not be rendered, in words for the people who edit templates."""

    part: str
    line: int | None
    message: str

    def __str__(self) -> str:
        place = f"{self.part}, line {self.line}" if self.line else self.part
        return f"{place}: {self.message}"


class Checked(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a check found: faults that block publishing, warnings, and the variables that the subject uses."""

    faults: list[RenderFault]
    warnings: list[str]
    subject_paths: list[list[str]]
    previews: dict[str, "Preview"]  # locale tag → the sample, rendered


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail says, before it becomes MIME."""

    subject: str
    html: str | None
    text: str


class Preview(Parts, frozen=True, kw_only=True):
    """The three parts of a rendered template."""

    html: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A mail as it leaves: its parts, and all its bytes."""

    subject: str
    html: str | None
    text: str
    wire: bytes


class ShownParts(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answer to a `Show`."""

    parts: Parts
    mail: Rendered | Gapped


class Batch(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answers to a `Render`, in order."""

    results: list[Rendered | Gapped | RenderFault]


Answer = Batch | ShownParts | RenderFault | Checked
