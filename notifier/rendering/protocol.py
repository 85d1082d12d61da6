"""The messages between parent and child: plain data in MessagePack, never pickles, because a child is not trusted."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from notifier.mail.mail_parts import MailAttachment, MailHeader, MailParts, MailWithGaps, RenderedMail, RenderedParts
from notifier.template_language.template_source import FaultCode, RenderFault, TemplateSource
from notifier.template_lint.lint_remark import LintRemark


class RenderJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One mail to render."""

    version: str | None  # key of a source that the child has been given; None: `content` is the mail's
    locale: str | None
    variables: str  # the JSON text of an object as the database has it; only the child reads it
    header: MailHeader
    content: str | None = None  # the JSON text of a `LiteralContent`; only the child reads it
    attachments: list[MailAttachment] = []  # sent to the child without their bytes
    payer: str = ""  # whose processor time it takes, such as a service's id

    def without_file_bytes(self) -> "RenderJob":
        """Return the job as it is sent to the child: without the bytes of its attachments."""
        return replace(self, attachments=[replace(attachment, data=b"") for attachment in self.attachments])


class RenderBatchRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A batch of mails, with the sources that this child has not seen yet."""

    jobs: list[RenderJob]
    sources: Mapping[str, TemplateSource]


class PreviewRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One mail to render and to preview, with its source if this child has not seen it yet."""

    job: RenderJob
    sources: Mapping[str, TemplateSource]


class CheckRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A source to compile and render with its sample, in every locale."""

    source: TemplateSource


class MailVariables(msgspec.Struct, frozen=True, kw_only=True):
    """The variables of a mail, and the locale that its caller asked for."""

    locale: str | None
    variables: str  # the JSON text of an object; only the child reads it


class CompareRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Values to render with two versions, with the sources that this child has not seen yet."""

    before: str | None  # key of a source; None: there is nothing to compare with
    after: str | None  # the same
    payloads: list[MailVariables]
    sources: Mapping[str, TemplateSource]
    with_diffs: bool = False  # or only whether it differs, and in what


ChildRequest = RenderBatchRequest | PreviewRequest | CheckRequest | CompareRequest


class SkippedMail(msgspec.Struct, frozen=True, tag=True):
    """A mail that was left out, because others like it took too long; no fault of its own."""


class SourceCheck(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a check found: faults and errors block publishing, warnings do not."""

    faults: list[RenderFault]
    remarks: list[LintRemark]
    variables_schema: dict[str, Any]  # JSON Schema (draft 2020-12) of what a caller sends
    subject_paths: list[list[str]]  # of the variables that a subject shows
    previews: dict[str, "RenderedParts"]  # locale tag → the sample, rendered


class PreviewedMail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail as it leaves: its parts, and all its bytes."""

    subject: str
    html: str | None
    text: str
    wire: bytes


class PreviewAnswer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answer to a `PreviewRequest`."""

    parts: MailParts
    mail: RenderedMail | MailWithGaps


class MailComparison(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a mail differs between two versions."""

    before: RenderFault | None = None  # why that version cannot be rendered
    after: RenderFault | None = None
    changed: list[str] = []  # of subject, html, text; empty unless both versions can be rendered
    shape: list[int] = []  # the same for changes that are alike
    diffs: dict[str, str] = {}  # part → unified diff of so much of it as is worth reading

    @property
    def was_slow(self) -> bool:
        """True if rendering the old version takes too long."""
        return self.before is not None and self.before.code is FaultCode.TOO_SLOW

    @property
    def is_slow(self) -> bool:
        """True if rendering the new version takes too long."""
        return self.after is not None and self.after.code is FaultCode.TOO_SLOW


class CompareAnswer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answers to a `CompareRequest`, in order."""

    results: list[MailComparison | None]  # None: not tried, because one before it took too long


class RenderBatchAnswer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answers to a `RenderBatchRequest`, in order: to all of its jobs, or to the first ones if those took long."""

    results: list[RenderedMail | MailWithGaps | RenderFault]
    seconds: list[float]  # of a processor, that each has taken; 0 for the first of a version, which was compiled for it


ChildAnswer = RenderBatchAnswer | PreviewAnswer | RenderFault | SourceCheck | CompareAnswer
