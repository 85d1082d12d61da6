"""What parent and child say to each other: plain data in MessagePack, never pickles, because a child is not trusted."""

from datetime import datetime

import msgspec

from notifier.rendering.source import TemplateSource


class Mailbox(msgspec.Struct, frozen=True):
    """An address with an optional display name (RFC 5322 §3.4)."""

    address: str
    name: str | None = None


class MailHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope side of a mail's header: fixed at submit, so that every attempt has the same bytes."""

    message_id: str  # with angle brackets
    date: datetime  # aware
    sender: Mailbox
    recipient: str
    reply_to: Mailbox | None = None
    extra: dict[str, str] = msgspec.field(default_factory=dict)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One mail to render."""

    version: str  # key of a source that the child has been given
    locale: str | None
    variables: str  # the JSON text of an object as the database has it; only the child reads it
    header: MailHeader


class Render(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A batch of mails, with the sources that this child has not seen yet."""

    jobs: list[Job]
    sources: dict[str, TemplateSource]


class Check(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A source to compile and render with its sample, in every locale."""

    source: TemplateSource


Request = Render | Check


class Rendered(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A mail ready to send: canonical CRLF bytes and their SHA-256."""

    wire: bytes
    sha256: bytes


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


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The three parts of a rendered mail, before they become MIME."""

    subject: str
    html: str
    text: str


class Batch(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answers to a `Render`, in order."""

    results: list[Rendered | RenderFault]


Answer = Batch | Checked
